"""What the client tests share: settings, raw HTTP with exact bytes, the documented signature, waiting, cleaning up.

Nothing in here knows the server's code; it knows the contract (shared/api) and, for what an operator must do first, docs/operator-api.md.
"""

import dataclasses
import hashlib
import hmac
import http.client
import json
import os
import secrets
import time
from datetime import datetime, timezone
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import operations

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
POLL_SECONDS = 0.1
WAIT_SECONDS = float(os.environ.get("POOLKEEPER_WAIT_SECONDS", "60"))


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where the server is and who we are there. One environment variable `POOLKEEPER_<NAME>` each."""

    url: str
    project_id: str
    project_name: str
    domain: str
    user: str
    password: str
    access_key: str
    secret_key: str
    admin_token: str

    @classmethod
    def from_environment(cls):
        names = {field.name: f"POOLKEEPER_{field.name.upper()}" for field in dataclasses.fields(cls)}
        missing = [name for name in names.values() if not os.environ.get(name)]
        if missing:
            raise LookupError("these environment variables are not set: " + ", ".join(missing))
        values = {field: os.environ[name] for field, name in names.items()}
        return cls(**{**values, "url": values["url"].rstrip("/")})

    @property
    def demo_network(self):
        return f"network-21e1-{self.project_id}"


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int
    headers: dict  # names in lower case
    body: bytes

    def json(self):
        return json.loads(self.body)

    def expect(self, *statuses):
        """The decoded body, after a check of the status that shows the body when it fails."""
        assert self.status in statuses, f"{self.status} instead of {statuses}: {self.body.decode(errors='replace')}"
        return self.json() if self.body else None

    def expect_error(self, status, code, *fragments):
        """Checks an error of the resource API: status, code, parts of the message, and the request id."""
        body = self.expect(status)
        assert body["error_code"] == code, body
        for fragment in fragments:
            assert fragment in body["error_msg"], body
        assert self.headers.get("x-request-id"), "an error without X-Request-Id"
        return body


class RawHttp:
    """Sends a request target and a body exactly as given: no normalising, no redirects, no retries. `client`: who it plays."""

    def __init__(self, url, client=operations.SIGNED):
        parts = urlsplit(url)
        self._client = client
        self.host = parts.netloc
        self._secure = parts.scheme == "https"

    def send(self, method, target, headers=None, body=b""):
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self.host, timeout=60)
        headers = {"Host": self.host, **(headers or {})}
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body or method in ("POST", "PATCH", "PUT"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            operations.record(self._client, method, target, answer.status)
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def sdk_date(moment=None):
    return (moment or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%SZ")


def encode_json(value):
    return json.dumps(value).encode()


def _encode(text):
    return quote(text, safe="-_.~")


def canonical_query(raw_query):
    pairs = sorted(parse_qsl(raw_query, keep_blank_values=True))
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in pairs)


def canonical_request(method, target, signed, body):
    """The six parts of the contract's section 1; `signed` maps lower-case header names to values, in signing order."""
    path, _, query = target.partition("?")
    encoded_path = "/".join(_encode(segment) for segment in unquote(path).split("/"))
    digest = signed.get("x-sdk-content-sha256") or hashlib.sha256(body).hexdigest()
    header_lines = "".join(f"{name}:{value.strip()}\n" for name, value in signed.items())
    closed_path = encoded_path if encoded_path.endswith("/") else encoded_path + "/"
    return "\n".join([method, closed_path, canonical_query(query), header_lines, ";".join(signed), digest])


def authorization(access_key, secret_key, method, target, signed, body):
    """The value of the `Authorization` header. `signed` must hold `x-sdk-date`."""
    digest = hashlib.sha256(canonical_request(method, target, signed, body).encode()).hexdigest()
    to_sign = f"SDK-HMAC-SHA256\n{signed['x-sdk-date']}\n{digest}"
    signature = hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"SDK-HMAC-SHA256 Access={access_key}, SignedHeaders={';'.join(signed)}, Signature={signature}"


class SignedApi:
    """Calls that no SDK model covers, signed with the access key over host, content type, project and date."""

    def __init__(self, settings):
        self._settings = settings
        self._http = RawHttp(settings.url)

    def call(self, method, path, body=None, content_type="application/json", extra=None):
        """`path` may hold `{p}` for the project id and a raw query. `body` is JSON data or bytes."""
        target = path.replace("{p}", self._settings.project_id)
        payload = body if isinstance(body, bytes) else b"" if body is None else encode_json(body)
        headers = {"content-type": content_type, "host": self._http.host, "x-project-id": self._settings.project_id}
        signed = dict(sorted({**headers, **(extra or {}), "x-sdk-date": sdk_date()}.items()))
        keys = (self._settings.access_key, self._settings.secret_key)
        signature = authorization(*keys, method, target, signed, payload)
        sent = {name: value for name, value in signed.items() if name != "host"}
        return self._http.send(method, target, {**sent, "Authorization": signature}, payload)

    def get(self, path):
        return self.call("GET", path)


class OperatorApi:
    """What only an operator can do, to bring about what users' clients are to see."""

    def __init__(self, settings):
        self._settings = settings
        self._http = RawHttp(settings.url, "operator")

    def call(self, method, path, body=None):
        """`path` is what follows `/admin/v1/`; `{p}` in it stands for the project id."""
        target = "/admin/v1/" + path.replace("{p}", self._settings.project_id)
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"content-type": content, "X-Auth-Token": self._settings.admin_token}
        return self._http.send(method, target, headers, b"" if body is None else encode_json(body))

    def get(self, path):
        return self.call("GET", path).expect(200)

    def post(self, path, body):
        return self.call("POST", path, body).expect(200)


class Undo:
    """What an operator has made for a test, taken back newest first."""

    def __init__(self, operator):
        self._operator = operator
        self._steps = []

    def make(self, path, body, *undo_paths):
        made = self._operator.post(path, body)
        self.also(undo_paths)
        return made

    def also(self, undo_paths):
        self._steps += undo_paths

    def clean(self):
        steps, self._steps = self._steps[::-1], []
        for path in steps:
            wait_until(f"{path} is removed", lambda path=path: self._operator.call("DELETE", path).status in (200, 404))


def fresh_name(kind):
    """A display name that no earlier run has used; short enough for Terraform's limit of 32."""
    return f"ct-{kind}-" + "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(8))


def wait_until(what, look, seconds=WAIT_SECONDS):
    """Asks `look()` until it gives something true and returns that; fails with the last answer at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s (last answer: {seen!r})"
        time.sleep(POLL_SECONDS)


class Ledger:
    """Remembers what a test may have created and removes it afterwards: sub-pools, then pools, then networks."""

    def __init__(self, api, project_id):
        self._api = api
        self._project_id = project_id
        self._paths = []

    def pool(self, name):
        """Registers a pool by display name; gives its id."""
        return self._register("/v2/{p}/pools/", name)

    def network(self, name):
        return self._register("/v1/{p}/networks/", name)

    def workspace(self, workspace_id):
        self._paths.insert(0, f"/v1/{{p}}/workspaces/{workspace_id}")

    def _register(self, prefix, name):
        identity = f"{name}-{self._project_id}"
        self._paths.append(prefix + identity)
        return identity

    def clean(self):
        """Newest first, each one gone before the next: what was made later may depend on what was made earlier."""
        left = []
        for path in reversed(self._paths):
            try:
                self._remove(path)
            except (AssertionError, OSError) as failure:
                left.append(f"{path}: {failure}")
        self._paths.clear()
        assert not left, "could not be cleaned up:\n" + "\n".join(left)

    def _remove(self, path):
        if "/workspaces/" in path:
            self._api.call("DELETE", path).expect(200, 400)
            return
        if self._api.call("DELETE", path).status == 404:
            return
        wait_until(f"{path} is gone", lambda: self._api.get(path).status == 404)
