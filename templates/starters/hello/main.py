"""A function's whole code: one handler."""


def execute(input, context):
    """Return a greeting. `input` fits contract.json already when this runs."""
    name = input.get("name", "world")
    context.logger.info("greeting", extra={"name_length": len(name)})
    return {"greeting": f"Hello, {name}!"}
