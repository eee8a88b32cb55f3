"""The dashboard, the alert rules and the pages about metrics name what a real Ringside tells, and nothing else.

usage: watch_check.py SOURCE BIN
"""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import yaml

NAME = re.compile(r"\bringside_[a-z_]+\b")
SELECTOR = re.compile(r"\b(ringside_[a-z_]+)\{([^}]*)\}")
# What Prometheus adds itself.
ADDED = {"instance", "job", "le"}


def page_of(path):
    connection = http.client.HTTPConnection("ringside")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def scrape(binaries):
    """The page of a Ringside that has served a call at each door, and refused a ring."""
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        config = pathlib.Path(folder) / "ringside.json"
        # An upstream that nobody serves: its series are there all the same.
        config.write_text('{"mcpServers": {"here": {"builtin": true}, "far": {"url": "http://127.0.0.1:9/mcp"}}}')
        ringsided = subprocess.Popen([binaries / "ringsided", "--config", config, "--runtime-dir", run])
        try:
            deadline = time.monotonic() + 30
            while not (run / "metrics.sock").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            for door in ("ring", "handle", "grpc", "http"):
                call = [binaries / "ringside", "call", "--runtime-dir", run, "--door", door]
                subprocess.run([*call, "tools/call", '{"name":"echo"}'], check=True, stdout=subprocess.DEVNULL)
            liar = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            liar.connect(str(run / "ring.sock"))
            liar.send(b"\xff")
            liar.recv(4096)
            status = subprocess.check_output([binaries / "ringside", "status", "--json", "--runtime-dir", run])
            os.kill(json.loads(status)["workers"][0]["pid"], signal.SIGKILL)
            page = ""
            told = ("bad_handshake", 'door="http",method="tools/call"', 'cause="signal 9"', 'upstream="far"')
            while not all(text in page for text in told) and time.monotonic() < deadline:
                page = page_of(run / "metrics.sock")
                time.sleep(0.02)
            return page
        finally:
            ringsided.terminate()
            ringsided.wait()


def read(page):
    """Family to its labels, and every name a query may use."""
    families = {name: set() for name in re.findall(r"^# TYPE (\S+)", page, re.M)}
    names = dict(families)
    for line in page.splitlines():
        match = re.match(r"(ringside_[a-z_]+)(?:\{(.*)\})? ", line)
        if not match:
            continue
        labels = set(re.findall(r'([a-z]+)="', match[2] or ""))
        names.setdefault(match[1], set()).update(labels)
    return families, names


def faults(source, page):
    families, names = read(page)
    rules = [rule for group in yaml.safe_load((source / "deploy/prometheus/alerts.yml").read_text())["groups"]
             for rule in group["rules"]]
    board = json.loads((source / "deploy/grafana/ringside.json").read_text())
    queries = [(rule["alert"], rule["expr"]) for rule in rules]
    queries += [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]
    for where, query in queries:
        for name in NAME.findall(query):
            if name not in names:
                yield f"{where}: no such metric: {name}"
        for name, selector in SELECTOR.findall(query):
            for label in re.findall(r"([a-z]+)\s*(?:=~|!~|!=|=)", selector):
                if label not in names.get(name, set()) | ADDED:
                    yield f"{where}: {name} has no label {label}"
    operations = (source / "docs/operations.md").read_text()
    sections = {line[4:].strip() for line in operations.splitlines() if line.startswith("### ")}
    for rule in rules:
        if rule["alert"] not in sections:
            yield f"docs/operations.md has no section for {rule['alert']}"
        if rule["annotations"]["runbook"] != f"docs/operations.md#{rule['alert'].lower()}":
            yield f"{rule['alert']}: its runbook is elsewhere"
        if rule["labels"]["severity"] not in ("page", "ticket"):
            yield f"{rule['alert']}: no severity that we know"
    listed = set(re.findall(r"^\| `(ringside_[a-z_]+)`", operations, re.M))
    for name in sorted(set(families) - listed):
        yield f"docs/operations.md does not list {name}"
    for name in sorted(listed - set(families)):
        yield f"docs/operations.md lists {name}, which is not there"


def main():
    source, binaries = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    page = scrape(binaries)
    found = list(faults(source, page))
    print("\n".join(found))
    print(f"{len(read(page)[0])} metrics, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
