"""A proxy that is dead: what is on this machine is reached all the same, by every client that kmpl's parts use."""

import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import requests
from terminal import behind_a_dead_proxy

from kmpl.commands import up
from kmpl.runtime import proxies
from kmpl.runtime.servers import HOST, answers, prefect_settings

DEAD = "http://127.0.0.1:9"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer((HOST, 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take all that says something of proxies out of the environment, and put it back after the test."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")] + ["no_proxy", "NO_PROXY"]:
        monkeypatch.setenv(name, "")  # what is set here is put back, whoever has changed it meanwhile
        monkeypatch.delenv(name)
    monkeypatch.setattr(proxies, "added", {})
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("HTTP_PROXY", {}),
        ("http_proxy", {"NO_PROXY": ".corp"}),
        ("ALL_PROXY", {"no_proxy": ""}),
        ("all_proxy", {"NO_PROXY": "[::1]"}),
        ("http_proxy", {"no_proxy": "*"}),
    ],
)
def test_this_machine_is_reached_though_the_proxy_is_dead(
    clean: pytest.MonkeyPatch, port: int, name: str, told: dict[str, str]
) -> None:
    for key, value in ({name: DEAD} | told).items():
        clean.setenv(key, value)
    proxies.pass_by()
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        url = f"http://{host}:{port}/page"
        assert httpx.get(url, verify=False).text == "/page"
        assert requests.get(url, timeout=5).text == "/page"
        with urllib.request.build_opener().open(url, timeout=5) as page:
            assert page.read() == b"/page"
    assert requests.utils.get_environ_proxies("http://[::1]:1/") == {}
    with httpx.Client(verify=False) as client:
        assert client._transport_for_url(httpx.URL("http://[::1]:1/")) is client._transport


def test_other_machines_are_still_reached_through_the_proxy(clean: pytest.MonkeyPatch, port: int) -> None:
    clean.setenv("HTTP_PROXY", f"http://{HOST}:{port}")
    clean.setenv("NO_PROXY", "intranet")
    proxies.pass_by()
    assert httpx.get("http://outside.example/page").text == "http://outside.example/page"
    assert answers("http://outside.example/api/health"), "a server outside is asked through the proxy"
    assert not answers(f"http://{HOST}:9/"), "one on this machine is not"


def test_the_users_own_exceptions_stay(clean: pytest.MonkeyPatch) -> None:
    proxy = {"HTTPS_PROXY": DEAD}
    local = ",".join(proxies.LOCAL)
    both = {"no_proxy": local, "NO_PROXY": local}
    assert proxies.exceptions(proxy) == both
    assert proxies.exceptions(proxy | both) == {}
    assert proxies.exceptions({"NO_PROXY": ".corp", "http_proxy": ""}) == {}, "no proxy, nothing to be done"
    corp = proxies.exceptions(proxy | {"NO_PROXY": "*.corp, 10.0.0.0/8 ,localhost"})
    assert corp == dict.fromkeys(("no_proxy", "NO_PROXY"), "*.corp,10.0.0.0/8,localhost,127.0.0.1,::1,0.0.0.0")
    differing = proxies.exceptions(proxy | {"NO_PROXY": ".upper", "no_proxy": ".lower"})
    assert differing == {"NO_PROXY": f".upper,{local}", "no_proxy": f".lower,{local}"}
    assert proxies.exceptions(proxy | {"no_proxy": "*"}) == {"NO_PROXY": "*"}
    for name, value in (
        proxy | proxies.exceptions(proxy | {"NO_PROXY": "[::1],[fe80::1]:80,fd00::/8,a.b:8080"})
    ).items():
        clean.setenv(name, value)
    assert os.environ["NO_PROXY"] == "::1,fe80::1,a.b:8080,localhost,127.0.0.1,0.0.0.0"
    httpx.Client().close()  # it would die of the brackets, and of the network


@pytest.mark.parametrize("module", ["kmpl", "kmpl.cli"])
def test_any_import_of_kmpl_exempts_this_machine_from_the_proxy(module: str) -> None:
    told = f"import {module}, os; print(os.environ['NO_PROXY'], os.environ['no_proxy'])"
    said = subprocess.check_output([sys.executable, "-c", told], env=behind_a_dead_proxy(), text=True)
    assert said.split() == [",".join(proxies.LOCAL)] * 2


@pytest.mark.parametrize("kind", ["socks5", "SOCKS"])
def test_a_kind_of_proxy_that_prefects_client_cannot_speak_does_not_stop_it(
    clean: pytest.MonkeyPatch, port: int, kind: str, tmp_path: Path
) -> None:
    clean.setenv("ALL_PROXY", f"{kind}://127.0.0.1:9")
    clean.setenv("HTTP_PROXY", "proxy:3128")
    proxies.pass_by()
    with pytest.raises((ImportError, ValueError), match=r"SOCKS proxy|Unknown scheme"):
        httpx.Client(verify=False)
    for name, value in prefect_settings(tmp_path).items():
        clean.setenv(name, value)
    assert httpx.get(f"http://{HOST}:{port}/page").text == "/page"
    assert os.environ["HTTP_PROXY"] == "proxy:3128"


def test_the_second_terminal_is_told_where_it_has_no_exceptions(clean: pytest.MonkeyPatch) -> None:
    clean.delenv("PREFECT_API_URL", raising=False)
    clean.chdir(up.ROOT)
    clean.setenv("HTTP_PROXY", DEAD)
    proxies.pass_by()
    assert up._next_command(4201, up.QUICK).startswith(f"no_proxy={HOST} PREFECT_API_URL=http://{HOST}:4201/api ")
