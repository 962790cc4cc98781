"""JSON schemas where the two protocols differ about them."""

from farthing.gateway.translation.words import Json, Refused


def object_schema(schema: object, place: str) -> Json:
    """A tool's schema as Anthropic needs it: of an object, and saying so."""
    if schema is None or schema == {}:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise Refused(place, "must be a JSON schema")
    kind = schema.get("type")
    if kind is None:
        return {"type": "object", **schema}
    if kind != "object":
        raise Refused(place, f"is a schema of {kind!r}; Anthropic's tools take an object")
    return schema


def holds_strictly(schema: object) -> bool:
    """Whether OpenAI's strict mode takes `schema`: each object requires all its properties, and no others.

    Source: OpenAI, "Structured outputs: supported schemas".
    """
    if isinstance(schema, list):
        return all(holds_strictly(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        names = set(properties) if isinstance(properties, dict) else set()
        required = schema.get("required")
        if schema.get("additionalProperties") is not False:
            return False
        if set(required if isinstance(required, list) else ()) != names:
            return False
    return all(
        holds_strictly(value) for key, value in schema.items() if key not in ("enum", "const", "default", "examples")
    )
