-- Health of an Ingot Function: what its newest generation says of itself.
local health = {status = "Progressing", message = "Waiting for the operator to look at it."}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "The status is of an older generation."
  return health
end
local ready, stalled = nil, nil
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Stalled" and condition.status == "True" then
    stalled = condition
  end
end
local function words(condition)
  if condition.message ~= nil and condition.message ~= "" then
    return condition.reason .. ": " .. condition.message
  end
  return condition.reason
end
-- Refused: nothing more happens until the file in git changes.
if stalled ~= nil then
  health.status = "Degraded"
  health.message = words(stalled)
elseif ready ~= nil then
  health.message = words(ready)
  if ready.status == "True" then
    health.status = "Healthy"
  elseif ready.status == "False" then
    health.status = "Degraded"
  end
end
return health
