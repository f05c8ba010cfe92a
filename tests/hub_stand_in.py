"""Stand-in for the Hub on 127.0.0.1, with models in a folder: the requests of huggingface_hub's client, without Xet.

As at the Hub, small files are uploaded within a commit and .safetensors by Git LFS, and private repositories do not
exist for accounts without permission. OWNERS has the accounts by token.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

OWNERS = {"hf_ada": "ada", "hf_bob": "bob"}
NOT_THERE = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}


class Hub:
    """Repositories below a folder: NAME/refs.json, NAME/SHA/FILES, and lfs/OID."""

    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "lfs").mkdir(parents=True)
        self.lock = threading.Lock()

    def repo(self, name):
        return self.folder / name

    def about(self, name):
        path = self.repo(name) / "repo.json"
        return json.loads(path.read_text()) if path.exists() else None

    def create(self, name, private):
        self.repo(name).mkdir(parents=True)
        self._write(name, {"private": private, "commits": []})
        self.commit(name, {}, [], "initial commit")

    def commit(self, name, files, messages, summary):
        about = self.about(name)
        before = self.files(name, about["commits"][-1]) if about["commits"] else {}
        files = before | files
        content = json.dumps([summary, about["commits"], {n: hashlib.sha1(d).hexdigest() for n, d in files.items()}])
        sha = hashlib.sha1(content.encode()).hexdigest()
        for path, data in files.items():
            place = self.repo(name) / sha / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        (self.repo(name) / sha).mkdir(exist_ok=True)
        self._write(name, about | {"commits": [*about["commits"], sha]})
        return sha

    def files(self, name, sha):
        root = self.repo(name) / sha
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def resolve(self, name, revision):
        commits = self.about(name)["commits"]
        return commits[-1] if revision == "main" else revision if revision in commits else None

    def _write(self, name, about):
        (self.repo(name) / "repo.json").write_text(json.dumps(about))


def is_lfs(path):
    return path.endswith(".safetensors")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None  # set by the server's subclass
    requests = None

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", headers=()):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **dict(headers),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def user(self):
        return OWNERS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def handle_any(self):
        path = unquote(urlsplit(self.path).path)
        body = self.body()
        self.requests.append(f"{self.command} {path}")
        for method, pattern, action in ROUTES:
            if self.command in method.split() and (match := re.fullmatch(pattern, path)):
                with self.hub.lock:
                    return action(self, body, *match.groups())
        return self.answer(404, {"error": f"the stand-in does not know {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def visible(self, name):
        about = self.hub.about(name)
        if about is None or (about["private"] and self.user() != name.split("/")[0]):
            self.answer(404 if self.user() else 401, {"error": "Repository not found"}, NOT_THERE)
            return False
        return True

    def owned(self, name):
        if self.user() is None:
            self.answer(401, {"error": "Invalid username or password."})
        elif not self.visible(name):
            pass
        elif self.user() != name.split("/")[0]:
            self.answer(403, {"error": "You don't have the rights to write here"})
        else:
            return True
        return False

    def create(self, body):
        asked = json.loads(body)
        owner = asked.get("organization") or self.user()
        name = f"{owner}/{asked['name']}"
        if self.user() is None:
            return self.answer(401, {"error": "Invalid username or password."})
        if self.user() != owner:
            return self.answer(403, {"error": f"You don't have the rights to create a model under {owner}"})
        url = f"{self.server.url}/{name}"
        if self.hub.about(name) is not None:
            return self.answer(409, {"error": "You already created this model repo", "url": url})
        self.hub.create(name, asked.get("private", False) or asked.get("visibility") == "private")
        return self.answer(200, {"url": url, "name": name, "id": "0"})

    def validate_yaml(self, body):
        content = json.loads(body)["content"]
        whole = re.match(r"---\n(?:[a-z_]+: .+\n)+---\n", content)
        self.answer(200 if whole else 400, {"errors": [] if whole else [{"message": "no header"}], "warnings": []})

    def preupload(self, body, name, revision):
        if self.owned(name):
            files = [
                {"path": f["path"], "uploadMode": "lfs" if is_lfs(f["path"]) else "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})

    def lfs_batch(self, body, name):
        if self.owned(name):
            objects = [
                {**o, "actions": {"upload": {"href": f"{self.server.url}/lfs/{o['oid']}"}}}
                for o in json.loads(body)["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            return self.answer(400, {"error": "the content has another sha256"})
        (self.hub.folder / "lfs" / oid).write_bytes(body)
        return self.answer(200, {})

    def commit(self, body, name, revision):
        if not self.owned(name):
            return
        files, summary = {}, ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                summary = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = (self.hub.folder / "lfs" / value["oid"]).read_bytes()
            else:
                self.answer(400, {"error": f"the stand-in does not know {line['key']}"})
                return
        sha = self.hub.commit(name, files, [], summary)
        self.answer(200, {"commitUrl": f"{self.server.url}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def at(self, name, revision):
        """The commit, or None where an answer has been given."""
        if not self.visible(name):
            return None
        sha = self.hub.resolve(name, revision)
        if sha is None:
            self.answer(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
        return sha

    def info(self, body, name, revision="main"):
        if sha := self.at(name, revision):
            files = sorted(self.hub.files(name, sha).items())
            siblings = [{"rfilename": path, "size": len(data)} for path, data in files]
            private = self.hub.about(name)["private"]
            self.answer(200, {"id": name, "modelId": name, "sha": sha, "private": private, "siblings": siblings})

    def tree(self, body, name, revision):
        if sha := self.at(name, revision):
            entries = []
            for path, data in sorted(self.hub.files(name, sha).items()):
                entry = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                if is_lfs(path):
                    oid = hashlib.sha256(data).hexdigest()
                    entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
                entries.append(entry)
            self.answer(200, entries)

    def download(self, body, name, revision, path):
        if sha := self.at(name, revision):
            data = self.hub.files(name, sha).get(path)
            if data is None:
                return self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            etag = (hashlib.sha256 if is_lfs(path) else hashlib.sha1)(data).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Content-Type": "application/octet-stream"}
            return self.answer(200, data, headers)
        return None


ID = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate_yaml),
    ("POST", f"/api/models/{ID}/preupload/(.+)", Handler.preupload),
    ("POST", f"/{ID}.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", r"/lfs/([0-9a-f]{64})", Handler.lfs_put),
    ("POST", f"/api/models/{ID}/commit/(.+)", Handler.commit),
    ("GET", f"/api/models/{ID}", Handler.info),
    ("GET", f"/api/models/{ID}/revision/(.+)", Handler.info),
    ("GET", f"/api/models/{ID}/tree/([^/]+)", Handler.tree),
    ("HEAD GET", f"/{ID}/resolve/([^/]+)/(.+)", Handler.download),
]


@contextlib.contextmanager
def serving(folder):
    """Yields a running hub, its address, and the list of its requests."""
    hub, requests = Hub(folder), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Handler,), {"hub": hub, "requests": requests}))
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub, server.url, requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
