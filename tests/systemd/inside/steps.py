"""Ringside's life under a real systemd, step by step. A step is a function with @step; they run in this order."""

import concurrent.futures
import glob
import json
import os
import signal
import stat
import threading

from kit import (RUN, SERVICE, SOCKETS, eventually, is_active, is_alive, main_pid, ping, processes, run, sh, show, step,
                 tool, write)

CONFIG = {
    "workers": 2,
    "mcpServers": {
        "node": {"command": "node", "args": ["/in/inside/node_server.mjs"]},
        "npx": {"command": "npx", "args": ["--yes", "--offline", "--package=/in/npx_server.tgz", "npx-server"]},
        "local": {"command": "/in/demo_server"},
        "remote": {"url": "http://127.0.0.1:4000/mcp"},
    },
    "peers": {"groups": ["ringside"]},
}


def dpkg(*arguments):
    return sh("dpkg", *arguments, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def mode_and_owner(path):
    info = os.stat(path)
    return oct(stat.S_IMODE(info.st_mode)), sh("stat", "-c", "%U:%G", path)


@step
def the_packages_install_and_their_sockets_listen():
    os.symlink("/dpkg", "/var/lib/dpkg")
    dpkg("-i", *glob.glob("/in/*.deb"))
    for unit in SOCKETS:
        assert is_active(unit), unit
        assert sh("systemctl", "is-enabled", unit) == "enabled"
    assert show(SERVICE, "ActiveState") == "inactive"
    assert mode_and_owner(RUN) == ("0o750", "ringside:ringside")
    for name in ["runtime", "ring", "http", "control", "metrics"]:
        assert mode_and_owner(RUN / f"{name}.sock") == ("0o660", "root:ringside"), name
    assert mode_and_owner("/etc/ringside/ringside.json") == ("0o640", "root:ringside")
    seconds = int(show("steps.service", "ExecMainStartTimestampMonotonic")) - int(show("", "UserspaceTimestampMonotonic"))
    return f"systemd was up after {seconds / 1e6:.2f} s"


@step
def the_units_are_faultless_where_they_are_installed():
    faults = sh("systemd-analyze", "verify", "--man=no", SERVICE, *SOCKETS)
    assert not faults, faults


@step
def the_first_call_of_a_python_client_starts_the_service():
    sh("systemd-run", "--unit=remote", "/in/demo_server", "--http", "--port", "4000")
    write("/etc/ringside/ringside.json", json.dumps(CONFIG))
    sh("ringsided", "--check-config")
    assert not is_active(SERVICE)
    seconds = ping()
    assert is_active(SERVICE)
    assert sh("ps", "-o", "user=", "-p", str(main_pid())) == "ringside"
    return f"answered after {seconds * 1000:.0f} ms"


@step
def systemctl_shows_how_many_workers_are_ready():
    eventually("2/2 workers ready", lambda: show(SERVICE, "StatusText").startswith("2/2 workers ready"))
    assert "ready" in sh("systemctl", "status", "--no-pager", SERVICE)
    assert sh("ringside", "health") == "SERVING"
    assert sh("ringside", "health", "--socket", "control") == "SERVING"


@step
def every_door_and_every_kind_of_upstream_works_inside_of_the_sandbox():
    eventually("the tools of all upstreams",
               lambda: all(name in sh("ringside", "call", "tools/list", check=False)
                           for name in ['"local-echo"', '"remote-echo"', '"look"']))
    for door in ["ring", "handle", "grpc", "http"]:
        for upstream in ["local", "remote"]:
            assert tool(f"{upstream}-echo", {"message": door}, door) == door


@step
def a_node_child_compiles_writes_home_and_sees_nothing_of_the_supervisors():
    seen = json.loads(tool("look", {}))
    assert seen["compiled"], seen
    assert set(seen["variables"]) <= {"HOME", "PATH", "LANG", "TZ", "USER"}, seen
    assert seen["sockets"] == [], seen
    assert seen["home"] == "/var/lib/ringside" and seen["writes_home"] == "yes", seen
    assert seen["writes_etc"] == "EROFS", seen
    assert seen["runs"] == "ringside", seen


@step
def an_npx_entry_installs_into_home_and_runs():
    eventually("the tool of the npx entry", lambda: '"glance"' in sh("ringside", "call", "tools/list", check=False))
    assert tool("glance", {}) == "glanced"
    assert os.path.isdir("/var/lib/ringside/.npm/_npx")


@step
def everybody_in_the_service_is_in_the_sandbox():
    names = set()
    for pid in processes("ringsided") + processes("ringside-worker") + processes("ringside-guard") + processes("node"):
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status") if ":\t" in line)
        names.add(status["Name"].strip())
        assert status["Seccomp"].strip() == "2", status
        assert status["NoNewPrivs"].strip() == "1", status
        assert int(status["CapBnd"], 16) == 0 and int(status["CapEff"], 16) == 0, status
        assert status["Uid"].split()[0] != "0", status
    assert {"ringsided", "ringside-worker", "ringside-guard", "node"} <= names, names


@step
def a_member_of_the_group_may_call_and_a_stranger_may_not():
    write("/etc/sysusers.d/peers.conf", "u gateway -\nm gateway ringside\nu stranger -\n")
    sh("systemd-sysusers")

    def call_as(user):
        return sh("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "ringside", "call", "ping",
                  "--door", "grpc", "--timeout", "5", check=False)

    assert '"result":{}' in call_as("gateway"), call_as("gateway")
    assert '"result"' not in call_as("stranger"), call_as("stranger")


@step
def killed_workers_are_replaced_and_the_service_stays():
    before, workers = main_pid(), processes("ringside-worker")
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    ping()
    eventually("two other workers",
               lambda: len(processes("ringside-worker")) == 2 and not set(workers) & set(processes("ringside-worker")))
    eventually("2/2 workers ready", lambda: show(SERVICE, "StatusText").startswith("2/2 workers ready"))
    assert main_pid() == before


def systemd_sockets():
    """The inodes of the sockets that systemd holds."""
    paths = glob.glob(f"{RUN}/*.sock")
    return {path: os.stat(path).st_ino for path in paths}


@step
def a_killed_supervisor_comes_back_and_its_sockets_never_go():
    before, workers = main_pid(), processes("ringside-worker")
    inodes = systemd_sockets()
    os.kill(before, signal.SIGKILL)
    seconds = ping()
    assert main_pid() not in (0, before)
    assert show(SERVICE, "NRestarts") == "1"
    assert systemd_sockets() == inodes
    for worker in workers:
        eventually("the end of the old workers", lambda worker=worker: not is_alive(worker))
    return f"answered after {seconds * 1000:.0f} ms"


@step
def a_program_builds_against_the_installed_client_library():
    sh("cmake", "-S", "/in/consumer", "-B", "/tmp/consumer", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug")
    sh("ninja", "-C", "/tmp/consumer")
    assert sh("/tmp/consumer/consumer", str(RUN)) == '{"jsonrpc":"2.0","id":1,"result":{}}'


def pings_through(act):
    """Pings through every door without a pause while `act` runs; how many there were. Each must be answered."""
    done = threading.Event()

    def go_on(door):
        count = 0
        while not done.is_set():
            assert '"result":{}' in sh("ringside", "call", "ping", "--door", door)
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor() as threads:
        callers = [threads.submit(go_on, door) for door in ["ring", "handle", "grpc", "http"]]
        try:
            act()
        finally:
            done.set()
        return sum(caller.result() for caller in callers)


@step
def a_reload_under_load_loses_no_call():
    before, workers = main_pid(), processes("ringside-worker")
    count = pings_through(lambda: sh("systemctl", "reload", SERVICE))
    eventually("the end of the old workers", lambda: not any(is_alive(worker) for worker in workers))
    assert main_pid() == before
    assert show(SERVICE, "ActiveState") == "active"
    return f"{count} calls"


@step
def a_reload_of_a_wrong_configuration_fails_and_changes_nothing():
    before = processes("ringside-worker")
    write("/etc/ringside/ringside.json", '{"workers": "many"}')
    sh("systemctl", "reload", SERVICE, check=False)
    assert "workers: expected" in sh("journalctl", "--no-pager", "-u", SERVICE, "-n", "20")
    assert processes("ringside-worker") == before and is_active(SERVICE)
    write("/etc/ringside/ringside.json", json.dumps(CONFIG))
    ping()


@step
def installing_again_upgrades_in_place_without_a_lost_call():
    before, workers = main_pid(), processes("ringside-worker")
    inodes = {path: os.stat(path).st_ino for path in glob.glob(f"{RUN}/*.sock")}
    count = pings_through(lambda: dpkg("-i", *glob.glob("/in/*.deb")))
    assert main_pid() == before
    assert json.loads(sh("ringside", "status", "--json"))["upgrades"] == 1
    eventually("the end of the old workers", lambda: not any(is_alive(worker) for worker in workers))
    assert {path: os.stat(path).st_ino for path in glob.glob(f"{RUN}/*.sock")} == inodes
    assert json.load(open("/etc/ringside/ringside.json")) == CONFIG, "the configuration is the administrator's"
    assert mode_and_owner("/etc/ringside/ringside.json") == ("0o640", "root:ringside")
    return f"{count} calls"


@step
def a_wrong_configuration_is_told_and_once_mended_those_who_waited_are_served():
    write("/etc/ringside/ringside.json", '{"workers": "many"}')
    sh("systemctl", "restart", SERVICE, check=False)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        waiting = threads.submit(ping)
        tries = int(show(SERVICE, "NRestarts"))
        eventually("two more tries", lambda: int(show(SERVICE, "NRestarts")) >= tries + 2)
        eventually("the exit code", lambda: show(SERVICE, "ExecMainStatus") == "2")
        assert "workers: expected" in sh("journalctl", "--no-pager", "-u", SERVICE, "-n", "20")
        assert not waiting.done()
        write("/etc/ringside/ringside.json", json.dumps(CONFIG))
        waiting.result()


@step
def a_supervisor_that_hangs_is_noticed_by_its_watchdog():
    write(f"/run/systemd/system/{SERVICE}.d/watchdog.conf", "[Service]\nWatchdogSec=500ms\nLimitCORE=0\n")
    sh("systemctl", "daemon-reload")
    sh("systemctl", "restart", SERVICE)
    before = main_pid()
    ping()
    os.kill(before, signal.SIGSTOP)
    eventually("another supervisor", lambda: main_pid() not in (0, before))
    ping()


@step
def a_stopped_service_leaves_nobody_behind_and_its_sockets_listening():
    tool("look", {})
    everybody = processes("ringsided") + processes("ringside-worker") + processes("ringside-guard") + processes("node")
    assert len(everybody) >= 5, everybody
    sh("systemctl", "stop", SERVICE)
    assert show(SERVICE, "Result") == "success"
    assert not any(is_alive(pid) for pid in everybody)
    assert all(is_active(unit) for unit in SOCKETS)
    ping()
    assert is_active(SERVICE)


@step
def a_removed_package_is_gone_and_a_purged_one_leaves_no_state():
    dpkg("-r", "ringside-dev", "ringside")
    assert show(SERVICE, "LoadState") in ("not-found", "masked")
    assert not processes("ringsided") and not glob.glob(f"{RUN}/*.sock")
    assert os.path.exists("/etc/ringside/ringside.json")
    dpkg("-P", "ringside")
    for path in ["/etc/ringside", "/var/lib/ringside", RUN]:
        assert not os.path.exists(path), path
    assert not glob.glob("/etc/systemd/system/**/ringside*", recursive=True)


run()
