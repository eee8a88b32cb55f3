"""The sidecar's manifest: valid by Kubernetes' own schemas, and what it says works: its arguments, its configuration, its
probes and its preStop are run as its users, in a folder with the rights that a pod's volume has.

  kubernetes_check.py MANIFESTS BIN
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import kubernetes_validate
import yaml

MANIFESTS, BIN = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
VERSIONS = ["1.33", "1.35", "1.37"]
FS_GROUP = 10000


def validate():
    documents = []
    for file in sorted(MANIFESTS.glob("*.yaml")):
        documents += [document for document in yaml.safe_load_all(file.read_text()) if document]
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
        print(f"ok {document['kind']} {document['metadata']['name']} is valid for {', '.join(VERSIONS)}")
    return {document["kind"]: document for document in documents}


class Pod:
    """What a kubelet makes of the manifest, as far as processes, users and folders go."""

    def __init__(self, documents, folder):
        spec = documents["Deployment"]["spec"]["template"]["spec"]
        assert spec["securityContext"]["fsGroup"] == FS_GROUP
        self.ringside = spec["initContainers"][0]
        self.gateway = spec["containers"][0]
        self.paths = {"/run/ringside": folder / "run", "/etc/ringside": folder / "config",
                      "/var/lib/ringside": folder / "state"}
        for volume in ["run", "state"]:
            (folder / volume).mkdir()
            # As a kubelet leaves an emptyDir with fsGroup: open to all, and the group is inherited.
            os.chown(folder / volume, 0, FS_GROUP)
            os.chmod(folder / volume, 0o2777)
        (folder / "config").mkdir()
        for name, text in documents["ConfigMap"]["data"].items():
            (folder / "config" / name).write_text(text)
        shutil.copytree(BIN, folder / "bin", ignore=lambda _, names: [n for n in names if not n.startswith("ringside")
                                                                      or n.endswith(("_bench", "_test"))])
        self.bin = folder / "bin"
        # The command, with a line in a file for each time it is run.
        self.runs = folder / "runs"
        self.runs.touch()
        os.chmod(self.runs, 0o666)
        (self.bin / "ringside").rename(self.bin / "ringside.real")
        (self.bin / "ringside").write_text(f'#!/bin/sh\necho >>{self.runs}\nexec {self.bin}/ringside.real "$@"\n')
        (self.bin / "ringside").chmod(0o755)
        self.log = open(folder / "log", "w+")

    def count_runs(self):
        return len(self.runs.read_text())

    def localised(self, text):
        for inside, outside in self.paths.items():
            text = text.replace(inside, str(outside))
        return text

    def start(self, container, command):
        user = container["securityContext"]
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin"}
        environment |= {each["name"]: self.localised(each["value"]) for each in container["env"]}
        ids = [f"--reuid={user['runAsUser']}", f"--regid={user['runAsGroup']}", f"--groups={FS_GROUP}"]
        return subprocess.Popen(["setpriv", *ids, "--bounding-set=-all", "--no-new-privs",
                                 *[self.localised(word) for word in command]],
                                env=environment, stdout=self.log, stderr=self.log)

    def exec(self, container, command):
        return self.start(container, command).wait(timeout=30)


def eventually(what, condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"did not come: {what}"
        time.sleep(0.02)


def run_pod(documents, folder):
    pod = Pod(documents, folder)
    ringside, gateway = pod.ringside, pod.gateway
    probe = {name: ringside[f"{name}Probe"]["exec"]["command"] for name in ["startup", "readiness", "liveness"]}
    supervisor = pod.start(ringside, ringside["args"])
    try:
        eventually("the startup probe's success", lambda: pod.exec(ringside, probe["startup"]) == 0)
        for name, command in probe.items():
            assert pod.exec(ringside, command) == 0, name
        print("ok the probes succeed, in the container's own user and folder")

        socket = pod.localised(gateway["env"][0]["value"])
        call = ["ringside", "--runtime-dir", os.path.dirname(socket), "call", "ping", "--door", "grpc"]
        assert pod.exec(gateway, call) == 0
        assert pod.exec({**gateway, "securityContext": {"runAsUser": 10009, "runAsGroup": 10009}}, call) == 0
        print("ok the gateway's user calls by the pod's group")

        held = subprocess.Popen(["/usr/bin/python3", "-c", "import socket, sys\ns = socket.socket(socket.AF_UNIX)\n"
                                 "s.connect(sys.argv[1])\nsys.stdin.read()", socket], stdin=subprocess.PIPE)
        status = ["/bin/sh", "-c", """ringside status --json | grep -q '"connections_open": 1'"""]
        eventually("the connection seen", lambda: pod.exec(ringside, status) == 0)
        before = pod.count_runs()
        drain = pod.start(ringside, ringside["lifecycle"]["preStop"]["exec"]["command"])
        eventually("preStop asking again", lambda: pod.count_runs() >= before + 2)
        assert drain.poll() is None
        held.communicate(b"")
        assert drain.wait(timeout=10) == 0
        print("ok preStop waits while somebody is connected, and no longer")
    finally:
        supervisor.terminate()
        ended = supervisor.wait(timeout=20)
        pod.log.seek(0)
        if ended != 0:
            print(pod.log.read())
    assert ended == 0, ended
    assert pod.exec(ringside, probe["liveness"]) != 0, "nobody is alive any more"
    print("ok SIGTERM ends it, and then the probes fail")


def main():
    documents = validate()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringside-pod-"))
    os.chmod(folder, 0o755)
    try:
        run_pod(documents, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
