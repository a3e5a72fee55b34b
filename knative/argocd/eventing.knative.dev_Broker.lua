-- Health of a Knative Broker: its Ready condition, when it is of the newest generation.
local health = {status = "Progressing", message = "Waiting for the Broker to be set up."}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "The status is of an older generation."
  return health
end
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    if condition.status == "True" then
      health.status = "Healthy"
      health.message = "It takes events."
    else
      -- Knative leaves reason and message out where it has none.
      health.message = (condition.reason or "NotReady") .. ": " .. (condition.message or "")
      if condition.status == "False" then
        health.status = "Degraded"
      end
    end
  end
end
return health
