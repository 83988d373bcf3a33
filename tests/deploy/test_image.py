"""The image: what its Dockerfile installs and copies is there, and what it starts answers: here as a plain process."""

import json
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from support.deployment import DEPLOY, ROOT, Instruction, dockerfile, mapped
from support.patience import AT_MOST
from support.servers.launched import environment
from support.servers.process import Server, run, serving

from schedule_grpc.settings.config import Settings, addresses

BUILD, IMAGE = dockerfile()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def words(stage: Sequence[Instruction], name: str) -> list[str]:
    """Return the words of a stage's only instruction of a name."""
    (found,) = (each for each in stage if each.name == name)
    return list(found.words)


def variables() -> dict[str, str]:
    """Return the environment that the image gives its processes, but for the path."""
    told = " ".join(each.text for each in IMAGE if each.name == "ENV")
    return {name: value for name, value in re.findall(r"(\w+)=(\S+)", told) if name != "PATH"}


def health_check() -> list[str]:
    """Return the command of the image's health check."""
    (check,) = (each for each in IMAGE if each.name == "HEALTHCHECK")
    command: list[str] = json.loads(check.text.partition("CMD ")[2])
    return command


# -- what stands there


def test_what_is_copied_is_there():
    """In the repository, and not kept out by .dockerignore; what the second stage takes, the first has made."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    for each in (each for each in BUILD if each.name == "COPY"):
        for source in each.words[:-1]:
            assert (ROOT / source).exists(), source
            assert not any(fnmatch(source, pattern) for pattern in ignored), source
    (taken,) = (each for each in IMAGE if each.name == "COPY")
    assert taken.options["from"] == BUILD[0].words[-1]
    assert f"venv {taken.words[0]}" in " ".join(each.text for each in BUILD)


def test_what_is_installed_is_in_the_lock(tmp_path: Path):
    """Each package of the extras that the Dockerfile names, as its own command makes constraints of the lock."""
    text = " ".join(each.text for each in BUILD if each.name == "RUN")
    extras = re.search(r"\.whl\)\[([\w,]+)\]", text)
    assert extras is not None
    command = text.partition(" && ")[0]
    assert command.startswith("sed ")
    (tmp_path / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)  # noqa: S602 (the Dockerfile's own)
    pinned = [Requirement(line) for line in (tmp_path / "constraints.txt").read_text().splitlines()]
    versions = {each.name: str(each.specifier).removeprefix("==") for each in pinned}
    assert len(versions) == len(pinned), "a package stands twice"
    wanted = [
        *PROJECT["dependencies"],
        *(each for name in extras[1].split(",") for each in optional(name)),
        "hatchling",
    ]
    for each in map(Requirement, wanted):
        assert each.specifier.contains(versions[each.name.lower()]), each


def optional(extra: str) -> list[str]:
    """Return the requirements of an extra."""
    found: list[str] = PROJECT["optional-dependencies"][extra]
    return found


def test_every_extra_that_servers_use_is_installed():
    """All but that of a command for files of other programs."""
    text = " ".join(each.text for each in BUILD)
    named = re.search(r"\[([\w,]+)\]\"", text)
    assert named is not None
    assert set(named[1].split(",")) == set(PROJECT["optional-dependencies"]) - {"yaml"}


def test_both_stages_have_one_python():
    """Which the package supports; an environment of one release runs on no other."""
    (base, _, _), (same,) = BUILD[0].words, IMAGE[0].words
    assert base == same
    version = re.match(r"python:(\d+\.\d+)-", base)
    assert version is not None
    assert SpecifierSet(PROJECT["requires-python"]).contains(version[1])
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]


def test_the_user_owns_the_volume():
    """No root; what the server writes, the first key among it, lies in its home."""
    (user,) = words(IMAGE, "USER")
    made = next(each.text for each in IMAGE if each.name == "RUN")
    assert f"--uid {user} " in made
    assert words(IMAGE, "WORKDIR") == words(IMAGE, "VOLUME")
    assert f"--home-dir {words(IMAGE, 'WORKDIR')[0]} --create-home" in made


def test_it_listens_on_its_own_loopback_only():
    """Whoever runs it says otherwise, with TLS."""
    assert not re.search(r"0\.0\.0\.0|insecure", "\n".join(each.text for each in IMAGE), re.IGNORECASE)
    assert (addresses(Settings().grpc), addresses(Settings().http.address)) == ("127.0.0.1:50051", "127.0.0.1:8787")
    ports = [address.rpartition(":")[2] for address in (addresses(Settings().grpc), addresses(Settings().http.address))]
    assert words(IMAGE, "EXPOSE") == ports


def test_make_image_is_the_documented_command():
    """With the version of pyproject.toml as label, which the build compares with what it has installed."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "-n", "image", "DOCKER=podman"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    command = " ".join(shown.stdout.replace("\\\n", " ").split())
    assert command.startswith(f"podman build --file deploy/Dockerfile --build-arg VERSION={PROJECT['version']} ")
    assert command.endswith(f"--tag schedule-grpc:{PROJECT['version']} --tag schedule-grpc .")
    arguments = set(re.findall(r"--build-arg (\w+)=", command))
    assert arguments == {each.words[0].removesuffix("=") for each in IMAGE if each.name == "ARG"}
    labels = next(each.text for each in IMAGE if each.name == "LABEL")
    assert all(f'"${name}"' in labels for name in arguments)
    for page in ("README.md", "docs/operations.md"):
        assert "make image" in (ROOT / page).read_text(), page


# -- what starts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's volume."""
    return tmp_path_factory.mktemp("volume")


@pytest.fixture(scope="module")
def image(folder: Path) -> Iterator[Server]:
    """The server of the image's command, in its environment, at free ports."""
    assert words(IMAGE, "ENTRYPOINT") == ["schedule-grpc"]
    name, *options = words(IMAGE, "CMD")
    assert name == "serve"
    with serving(folder, "--http", "127.0.0.1:0", *options, handlers=None, **variables()) as server:
        yield server


def checked(address: str) -> int:
    """Run the image's health check, with this address in place of the image's own; return its exit code."""
    told: Mapping[str, str] = {"127.0.0.1:8787": address}
    command = [mapped(each, told) for each in health_check()]
    assert command[0] == "python"
    done = subprocess.run([sys.executable, *command[1:]], env=environment(), capture_output=True, check=False)
    return done.returncode


def test_strangers_may_ask_for_health_alone(image: Server):
    """Neither over gRPC nor over HTTP anything else."""
    done = run("tasks", "list", "--server", image.address)
    assert (done.returncode, "Authentication required" in done.stderr) == (1, True)
    with httpx2.Client(base_url=f"http://{image.http_address}", timeout=AT_MOST, trust_env=False) as web:
        paths = ("/health", "/livez", "/readyz", "/tasks", "/metrics", "/docs", "/")
        codes = [web.get(path).status_code for path in paths]
    assert codes == [200, 200, 200, 401, 401, 401, 401]


def test_the_first_key_is_in_the_volume(image: Server, folder: Path):
    """For its owner only; with it everything can be done, such as making the next key, as the Dockerfile says."""
    file = folder / "bootstrap.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    documented = re.search(r"docker exec CONTAINER schedule-grpc (keys create .*)", (DEPLOY / "Dockerfile").read_text())
    assert documented is not None
    command = documented[1].replace("NAME", "reports-ci").split()
    assert run(*command, "--server", image.address, folder=folder).returncode == 0
    listed = run("keys", "list", "--server", image.address, "--token-file", "bootstrap.key", folder=folder)
    assert "reports-ci" in listed.stdout


def test_the_health_check_tells_whether_it_answers(image: Server):
    """It succeeds while the server does, and fails afterwards."""
    assert image.http_address is not None
    assert checked(image.http_address) == 0
    assert image.terminate()[0] == 0
    assert checked(image.http_address) != 0
