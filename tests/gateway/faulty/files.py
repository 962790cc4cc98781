"""Models, files and batches: the surfaces that a gateway passes through, no more than the official clients need."""

import json
import re
from typing import Any

from tests.gateway.faulty.answers import error
from tests.gateway.faulty.wire import Reply

MODELS = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4-6", "text-embedding-3-small")
_PART = re.compile(rb'name="(\w+)"(?:; filename="([^"]*)")?[^\r]*\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--', re.S)


class Files:
    def __init__(self) -> None:
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    def answer(self, method: str, path: str, target: str, body: bytes, kind: str) -> Reply:
        match [method, *path.strip("/").split("/")[1:]]:
            case ["GET", "models"]:
                data = [{"id": name, "object": "model", "created": 1, "owned_by": "faulty"} for name in MODELS]
                return _reply({"object": "list", "data": data})
            case ["GET", "models", name]:
                return _reply({"id": name, "object": "model", "created": 1, "owned_by": "faulty"})
            case ["POST", "files"]:
                return _reply(self._keep(body))
            case ["GET", "files"]:
                return _reply({"object": "list", "data": [told for told, _ in self.files.values()], "has_more": False})
            case ["GET", "files", name] if name in self.files:
                return _reply(self.files[name][0])
            case ["GET", "files", name, "content"] if name in self.files:
                return Reply(200, [("content-type", "application/octet-stream")], [self.files[name][1]], [0])
            case ["DELETE", "files", name] if name in self.files:
                del self.files[name]
                return _reply({"id": name, "object": "file", "deleted": True})
            case ["POST", "batches"]:
                return _reply(self._batch(json.loads(body)))
            case ["GET", "batches"]:
                return _reply({"object": "list", "data": list(self.batches.values()), "has_more": False})
            case ["GET", "batches", name] if name in self.batches:
                return _reply(self.batches[name])
            case ["POST", "batches", name, "cancel"] if name in self.batches:
                self.batches[name]["status"] = "cancelling"
                return _reply(self.batches[name])
        return _reply(error(404, path.startswith("/v1/messages")), 404)

    def _keep(self, body: bytes) -> dict[str, Any]:
        parts = {name.decode(): (filename.decode(), data) for name, filename, data in _PART.findall(body)}
        filename, data = parts.get("file", ("", b""))
        name = f"file-{len(self.files) + 1}"
        told = {"id": name, "object": "file", "bytes": len(data), "created_at": 1, "filename": filename}
        told |= {"purpose": parts.get("purpose", ("", b"batch"))[1].decode(), "status": "processed"}
        self.files[name] = (told, data)
        return told

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"batch_{len(self.batches) + 1}"
        told = {"id": name, "object": "batch", "status": "validating", "created_at": 1}
        told |= {field: asked.get(field) for field in ("endpoint", "input_file_id", "completion_window")}
        self.batches[name] = told
        return told


def _reply(told: dict[str, Any], status: int = 200) -> Reply:
    return Reply(status, [("content-type", "application/json")], [json.dumps(told).encode()], [0])
