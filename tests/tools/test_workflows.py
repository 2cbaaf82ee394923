"""Who runs what with which rights: actions and packages are pinned by digest, writing is apart."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tools import lock
from tools.toc import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def jobs(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8"))["jobs"]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return request.param


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} >= {"test", "publish", "nightly", "weekly"}


def test_actions_are_pinned_by_their_commit(workflow):
    uses = [
        line.strip(" -") for line in workflow.read_text("utf-8").splitlines() if "uses:" in line
    ]
    assert uses
    assert [line for line in uses if not PINNED.search(line)] == []


def test_every_night_claims_are_sabotaged_and_chapters_see_a_pretended_gpu():
    nightly = jobs(ROOT / ".github" / "workflows" / "nightly.yml")
    commands = {step["run"] for job in nightly.values() for step in job["steps"] if "run" in step}
    assert commands >= {"make test-claims", "make pretend-gpu"}


def test_no_credentials_stay_in_a_checkout(workflow):
    steps = [step for job in jobs(workflow).values() for step in job["steps"]]
    checkouts = [step for step in steps if "/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_may_write_runs_nothing_of_ours(workflow):
    assert yaml.safe_load(workflow.read_text("utf-8"))["permissions"] == {"contents": "read"}
    writers = [
        job for job in jobs(workflow).values() if "write" in job.get("permissions", {}).values()
    ]
    assert [step for job in writers for step in job["steps"] if "run" in step] == []
    assert len(writers) == (workflow.stem == "publish")


def test_the_lock_has_what_requirements_ask_for_and_a_digest_for_each():
    locked = (ROOT / "requirements.lock").read_text("utf-8")
    versions = lock.pins(locked)
    wanted = lock.direct((ROOT / "requirements.txt").read_text("utf-8")).split("\n")
    wanted = {line for line in wanted if line and not line.startswith("#")}
    assert wanted <= {pin.split(" ;")[0] for pin in versions}
    packages = re.split(r"\n(?=\w)", locked.strip())[1:]
    assert len(packages) == len(versions)
    assert [text for text in packages if "--hash=sha256:" not in text] == []


def test_a_pin_moves_when_requirements_say_so(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("a==2\n")
    (tmp_path / "requirements.lock").write_text("a==1 \\\n    --hash=sha256:00\n")

    def uv(command, input, **options):
        output = Path(command[command.index("--output-file") + 1])
        assert "a==1" in output.read_text()  # a preference
        assert "--constraint" not in command
        output.write_text(input.strip() + " \\\n    --hash=sha256:11\n")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(lock.subprocess, "run", uv)
    lock.main(tmp_path)
    assert (tmp_path / "constraints.txt").read_text().endswith("\na==2\n")


def test_constraints_are_the_lock_without_digests():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert lines[1:] == lock.pins((ROOT / "requirements.lock").read_text("utf-8"))


def test_a_pin_keeps_the_system_that_it_is_for():
    text = (
        "a==1 \\\n    --hash=sha256:00\n"
        "b==2.0.post1 ; sys_platform == 'linux' \\\n    --hash=sha256:11\n"
    )
    assert lock.pins(text) == ["a==1", "b==2.0.post1 ; sys_platform == 'linux'"]
