"""Runs Schemathesis over /openapi.json of a server that nobody else uses: the operator API is part of it.

Makes what the operations need to get past their names first. See schemathesis.toml for what is checked, and what is not.
"""

import os
import pathlib
import subprocess
import sys
import time

import requests

HERE = pathlib.Path(__file__).parent
URL = os.environ["POOLKEEPER_URL"].rstrip("/")
PROJECT = os.environ["POOLKEEPER_PROJECT_ID"]
FLAVOR = "modelarts.vm.cpu.8ud"


def call(method, path, body=None):
    headers = {"X-Auth-Token": os.environ["POOLKEEPER_ADMIN_TOKEN"]}
    answer = requests.request(method, URL + path, json=body, headers=headers, timeout=60)
    answer.raise_for_status()
    return answer.json()


def create(name, **spec):
    labels = {"os.modelarts/name": name, "os.modelarts/workspace.id": "0"}
    body = {"kind": "Pool", "apiVersion": "v2", "metadata": {"labels": labels}, "spec": spec}
    return call("POST", f"/v2/{PROJECT}/pools", body)["metadata"]["name"]


def main():
    network = f"network-21e1-{PROJECT}"
    resources = [{"flavor": FLAVOR, "count": 2}]
    pool = create("pool-conform", type="Dedicate", scope=["Train"], resources=resources, network={"name": network})
    call("GET", f"/v2/{PROJECT}/pools/{pool}?wait=Ready&timeout=60")
    # A pool with a sub-pool, and the network of a pool, cannot be deleted: they stay for all operations.
    create("pool-conform-sub", type="Logical", parent=pool, resources=[{"flavor": FLAVOR, "count": 1}])
    node = call("GET", f"/v2/{PROJECT}/pools/{pool}/nodes")["items"][0]["metadata"]["name"]
    user = call("GET", "/admin/v1/users")["users"][0]["id"]
    names = {"POOL": pool, "NETWORK": network, "NODE": node, "FLAVOR": FLAVOR, "USER": user}
    environment = {**os.environ, **{f"POOLKEEPER_TEST_{name}": value for name, value in names.items()}}
    st = pathlib.Path(sys.executable).parent / "st"
    command = [st, "--config-file", HERE / "schemathesis.toml", "run", "--no-color", f"{URL}/openapi.json"]
    begin = time.monotonic()
    outcome = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    # Its advice on generated data is long and says nothing of the server: only counts are told of a run that found nothing.
    counts = [line.strip() for line in outcome.stdout.splitlines() if " generated, " in line]
    print(outcome.stdout if outcome.returncode or not counts else counts[-1])
    print(f"schemathesis took {time.monotonic() - begin:.0f} s")
    return outcome.returncode


if __name__ == "__main__":
    sys.exit(main())
