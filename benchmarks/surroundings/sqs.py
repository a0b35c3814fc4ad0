"""The replies of an SQS that takes all that it is given and has nothing waiting."""

from typing import Any


def reply(operation: str, given: dict[str, Any]) -> dict[str, Any]:
    """What it says to an operation, of those that the engine calls. Raises NotImplementedError for any other."""
    if operation in ("SendMessageBatch", "ChangeMessageVisibilityBatch"):
        taken = [{"Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": ""} for entry in given["Entries"]]
        return {"Successful": taken, "Failed": []}
    if operation == "GetQueueAttributes":
        return {"Attributes": dict.fromkeys(given["AttributeNames"], "0")}
    raise NotImplementedError(operation)
