"""The parameters of an operation, and what those mean that many lists have in common."""

from litestar.handlers import HTTPRouteHandler

from app.filters.fields import OPERATORS
from app.json_types import Json, JsonObject
from app.web.openapi.schemas import component_schemas

CONDITION = (
    "A condition as `field:operator:value`; repeat it for more. The field is a name such as `city`, or the "
    "id of a custom field. A comma separates several values; inside a value it is written as `%2C`, and “%” "
    "as `%25`. Operators without a value (`empty`, `true`, `today`) end after their name: `phone:empty`. "
    "Spans are a number and a unit: `created_at:in_last:7 days`. Tags, members, segments and workflows are "
    "ids. An item that starts with “{” is a group of conditions, as JSON."
)
OPERATORS_BY_TYPE = "; ".join(
    f"{kind.value}: {', '.join(operator.op.value for operator in operators)}"
    for kind, operators in OPERATORS.items()
)
DESCRIPTIONS = {
    "f": f"{CONDITION} The operators by type of the field: {OPERATORS_BY_TYPE}.",
    "match": "Whether `all` of the conditions have to be true, or `any` of them.",
    "q": "Text to search for.",
    "sort": "The column to sort by; a “-” before it sorts downwards.",
    "columns": "The columns of the table; repeat it for more.",
    "deleted": "Lists deleted contacts instead.",
    "limit": "How many rows a page holds; absent means the usual number.",
    "after": "The cursor of the next page. Follow `next` of an answer instead of building it.",
    "before": "The cursor of the previous page. Follow `previous` of an answer instead of building it.",
    "fields": "The fields of the answer, separated by commas; absent means all.",
    "field": "The field of a condition to add to `f`, as the form of the page sends it.",
    "op": "The operator of a condition to add to `f`.",
    "value": "A value of a condition to add to `f`; repeat it for more.",
    "unit": "The unit of a span in a condition to add to `f`.",
    "add": "The field whose small form the page opens.",
    "segment": "The id of a segment whose filter the list offers to replace.",
    "workflow": "The id of a workflow.",
    "workflow_id": "The id of a workflow.",
    "contact_id": "The id of a contact.",
    "status": "Only those with this status.",
    "step": "The key of a step.",
    "key": "The key of a step or trigger of the workflow, or of a field.",
    "list": "The list of steps: `main`, or `<key of a branch>.<key of its lane>`.",
    "position": "Before which step of the list; a large number means at the end.",
    "number": "The number of a version.",
    "token": "The secret of the link.",
    "channel": "The channel of a message; absent means all.",
    "view": "Whose rows, or which of them, the list shows.",
    "queue": "The task whose jobs are listed.",
    "subject_kind": "What was changed.",
    "subject_id": "The id of what was changed.",
    "actor_kind": "What kind of actor changed it.",
    "actor": "The id of the member or token that changed it.",
}
EXAMPLES: dict[str, JsonObject] = {
    "f": {
        "city": {"summary": "One value", "value": ["city:is:Oslo"]},
        "state": {"summary": "Several values", "value": ["state:in:CA,NY"]},
        "span": {
            "summary": "The last week, without a phone",
            "value": ["created_at:in_last:7 days", "phone:empty"],
        },
    },
    "sort": {"newest": {"summary": "The newest first", "value": "-created_at"}},
}


def parameters_of(handler: HTTPRouteHandler, method: str, listed: Json) -> list[Json]:
    """The parameters that Litestar listed, adapted to generators; DELETE has the fields of its struct in the
    query too."""
    items = listed if isinstance(listed, list) else []
    parameters: list[Json] = [_adapted(item) for item in items if isinstance(item, dict)]
    field = handler.parsed_fn_signature.parameters.get("data")
    if method == "DELETE" and field is not None:
        parameters += _fields_in_query(field.annotation)
    return parameters


def _adapted(listed: JsonObject) -> JsonObject:
    name = str(listed["name"])
    schema = without_null(listed.get("schema"))
    adapted: JsonObject = {
        "name": name,
        "in": listed["in"],
        "required": listed["required"],
        "schema": schema,
    }
    if text := listed.get("description") or DESCRIPTIONS.get(name):
        adapted["description"] = text
    if name in EXAMPLES and listed["in"] == "query":
        adapted["examples"] = EXAMPLES[name]
    return adapted


def _fields_in_query(struct: type) -> list[Json]:
    schema = component_schemas([struct], [])[struct.__name__]
    if not isinstance(schema, dict) or not isinstance(fields := schema.get("properties"), dict):
        return []
    required = schema.get("required")
    return [
        {
            "name": name,
            "in": "query",
            "required": isinstance(required, list) and name in required,
            "schema": without_null(field),
        }
        for name, field in fields.items()
    ]


def _without_null(choices: Json) -> Json:
    """The types, or the values, of a schema; one type is no list."""
    if not isinstance(choices, list):
        return choices
    real: list[Json] = [choice for choice in choices if choice not in ("null", None)]
    return "string" if real == ["string"] else real


def without_null(schema: Json) -> Json:
    """The schema of a parameter, which can be absent but never null."""
    if not isinstance(schema, dict):
        return schema
    choices = schema.get("oneOf", schema.get("anyOf"))
    rest = {key: value for key, value in schema.items() if key not in ("oneOf", "anyOf")}
    if not isinstance(choices, list):
        return {key: _without_null(value) for key, value in rest.items()}
    real = [choice for choice in choices if choice != {"type": "null"}]
    if len(real) == 1 and isinstance(real[0], dict):
        return {**real[0], **rest}
    return {**rest, "anyOf": real}
