"""One run from its setting to its record, and one run after another.

No process hands out work: each worker takes the first run of the grid that is neither recorded nor
locked by another; the lock goes with its process, however that ends. So workers may be started in
any number and stopped at any moment, on every machine that shares the folder.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from dlbook_utils.page.guards import TrainingFailed
from dlbook_utils.records import ledger, provenance

from . import feed, grids, models, scores, store
from .learner import Learner, wait
from .settings import Setting, from_dict
from .together import Group

FIRST_LAYER = 5_000  # images from which the modern network's first layer is computed
RESERVE = 1.2  # an epoch is begun if the last one's time and a fifth are left


class Mismatch(RuntimeError):
    """A checkpoint belongs to another manner of running."""


class NoGraph(RuntimeError):
    """No step could be recorded as a CUDA graph."""


@dataclass
class Clock:
    """The seconds that a call, of one run or of several, may take; None: as many as it needs.

    A call that begins at all does an epoch, be it longer than the limit: so every call goes on.
    """

    limit: float | None = None
    began: float = field(default_factory=time.monotonic)
    used: bool = False

    def begins(self, seconds: float) -> bool:
        """Whether an epoch that took so many seconds last time may be begun, and will be."""
        needed = RESERVE * seconds if self.used else 0.0  # the first may be, unless time is up
        begins = self.limit is None or time.monotonic() - self.began + needed < self.limit
        self.used |= begins
        return begins


@dataclass(frozen=True)
class Worker:
    """Where and how runs are carried out: what may change their speed, but not their arithmetic.

    `step` is one of `learner.KINDS` or "auto": "graph" on a GPU, "fast" elsewhere.
    """

    device: torch.device
    place: store.Place
    step: str = "auto"
    clock: Clock = field(default_factory=Clock)
    parallel: int = 1
    group: Group = field(default_factory=Group)
    say: Callable[[str], None] = print

    def step_for(self, setting: Setting) -> str:
        """The kind of step for a setting. A graph cannot hold the modern recipe's optimisers, and
        several processes exchange gradients between the steps' kernels.
        """
        step = self.step
        if step == "auto":
            step = "graph" if self.device.type == "cuda" else "fast"
        if step == "graph" and (setting.falls or self.group.size > 1):
            return "fast"
        return step


def run(setting: Setting, worker: Worker) -> dict[str, Any] | None:
    """Train a model as `setting` says and return its record; None if the time ran out before.

    After every epoch a checkpoint is written, from which the next call goes on. A loss that is not
    finite ends the run: its record has "status" "failed" and says where.

    Raises records' Damaged and Mismatch for a checkpoint that cannot be used, and
    together.Impossible for a model that cannot be shared out to the processes.
    """
    if worker.step == "auto" and worker.step_for(setting) == "graph":
        state = store.load(worker.place.checkpoint(setting.key), worker.device)
        if state and state["way"][0] == "fast":  # no graph could be recorded, last time
            worker = replace(worker, step="fast")
    try:
        return Run(setting, worker).train()
    except NoGraph as error:
        if worker.step != "auto":
            raise
        problem = str(error)  # the error itself would keep the model's memory
    worker.say(f"{setting.key}: no graph could be recorded ({problem}); on with --step fast")
    return run(setting, replace(worker, step="fast"))


class Run:
    """A run under way: its learner, its images, and what its checkpoint holds besides."""

    def __init__(self, setting: Setting, worker: Worker):
        self.setting, self.worker = setting, worker
        self.step_kind, device = worker.step_for(setting), worker.device
        self.manner = [
            self.step_kind,
            device.type,
            worker.group.size,
        ]  # must not change within a run
        self.path = worker.place.checkpoint(setting.key)
        torch.backends.cudnn.benchmark = self.step_kind != "plain"
        provenance.forget_peak_memory(device)
        self.train_part, self.valid_part = (part.to(device) for part in feed.divide(setting))
        images = feed.load(setting.data)
        self.began = time.monotonic()
        first = self.train_part.x[:FIRST_LAYER]
        channels = (images.mean, images.std)
        self.learner = Learner(setting, channels, device, self.step_kind, first, worker.group)
        self.state = self._resume()
        self.history: list[dict[str, Any]] = self.state["history"]  # a row for each epoch done
        self.earlier = self.state["seconds"]
        self._compare()
        if self.step_kind == "graph":
            try:
                n = setting.batch
                self.learner.record(self.train_part.x[:n], self.train_part.y[:n])
            except RuntimeError as error:
                raise NoGraph(str(error)) from None

    def _resume(self) -> dict[str, Any]:
        """Load a checkpoint into the learner if there is one; return what else it holds."""
        worker, key = self.worker, self.setting.key
        fresh: dict[str, Any] = {"history": [], "best": None, "seconds": 0.0, "peak_memory": 0}
        fresh |= {"code": [store.code()], "commit": provenance.commit()}
        saved = store.load(self.path, worker.device)
        if saved is None:
            return fresh
        if from_dict(saved["setting"]) != self.setting:
            raise Mismatch(f"{self.path} belongs to another setting: {saved['setting']}")
        if saved["way"] != self.manner:
            raise Mismatch(
                f"{self.path} was begun with step, device, processes = {tuple(saved['way'])}, not "
                f"{tuple(self.manner)}: go on in the same way, or move it away to begin again"
            )
        self.learner.load(saved)
        if store.code() not in saved["code"]:
            worker.say(f"{key}: the code has changed since this run was begun; both are recorded")
            saved["code"].append(store.code())
        worker.say(f"{key}: goes on after epoch {len(saved['history'])}")
        # Older checkpoints lack memory and commit.
        return fresh | {name: saved[name] for name in fresh if name in saved}

    def _compare(self) -> None:
        """Raise Mismatch unless all processes go on after the same epoch."""
        done = self.worker.group.each(len(self.history))
        if len(set(done)) > 1:
            raise Mismatch(
                f"{self.setting.key}: the processes' checkpoints hold {', '.join(map(str, done))} "
                "epochs; all must see one folder, that of the first process, and this one sees "
                f"{self.worker.place.rest}"
            )

    def train(self) -> dict[str, Any] | None:
        """Go on to the end, or until the time is up; see `run`."""
        folder = self.worker.place.curves(self.setting.key)
        try:
            with store.Curves(folder, len(self.history), self.worker.group.first) as curves:
                while not self._finished():
                    if not self._has_time():
                        return None
                    row = self._epoch(len(self.history) + 1)
                    curves.add(row)  # after the checkpoint: what it shows is kept
                    self.worker.say(_line(self.setting, row))
        except TrainingFailed as error:
            self.worker.say(f"{self.setting.key}: {error}")
            return self._record(failed=str(error))
        return self._finish() if self.worker.group.first else {}

    def _finished(self) -> bool:
        """Whether all epochs are done, or so many have not improved validation accuracy."""
        if len(self.history) >= self.setting.epochs:
            return True
        best, patience = _best_epoch(self.history), self.setting.patience
        return bool(patience and best and self.history[-1]["epoch"] - best >= patience)

    def _has_time(self) -> bool:
        """Whether the next epoch fits into the call's time; all processes agree."""
        last = self.history[-1] if self.history else {"seconds": 0.0}
        begins = self.worker.clock.begins(last["seconds"] + last.get("valid_seconds", 0))
        return self.worker.group.share(begins)

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Train and validate for an epoch, counted from 1, save, and return its row."""
        setting, state, device = self.setting, self.state, self.worker.device
        row = self._pass(epoch)
        if not self.history:  # evaluation, with larger batches, takes more
            state["peak_memory"] = provenance.peak_memory(device)
        if len(self.valid_part) and (epoch % setting.check_every == 0 or epoch == setting.epochs):
            self._validate(row)
        self.history.append(row)
        if setting.select == "best" and _best_epoch(self.history) == epoch:
            state["best"] = copy.deepcopy(self.learner.model.state_dict())
        state["seconds"] = self.earlier + time.monotonic() - self.began
        if self.worker.group.first:  # "way": so older checkpoints call it
            whole = {**state, "setting": asdict(setting), "way": self.manner}
            store.save(self.path, whole | self.learner.state())
        return row

    def _pass(self, epoch: int) -> dict[str, Any]:
        """Train on every batch of an epoch and return its row of the history.

        Loss and accuracy are running means over augmented batches, each measured before its step.
        Raises TrainingFailed, naming epoch and step, if the loss is not finite.
        """
        setting, learner, group = self.setting, self.learner, self.worker.group
        learner.net.train()
        wait(learner.device)
        began, done, sums = time.monotonic(), 0, [0.0] * 3
        rate = learner.set_rates(epoch - 1)
        draws = feed.draw(setting, len(self.train_part), epoch)
        in_all = -(-len(draws.order) // setting.batch)
        with _bar(in_all, f"{setting.model} s{setting.seed} epoch {epoch}", self.worker) as bar:
            for some in feed.batches(self.train_part, draws, setting, group.rank, group.size):
                new = self._steps(some, epoch, done, in_all)
                sums = [a + b for a, b in zip(sums, new)]
                done += len(some)
                if bar is not None:
                    bar.update(len(some))
        loss, hits, n = group.add(sums)
        wait(learner.device)
        seconds = round(time.monotonic() - began, 4)
        means = {"train_loss": loss / n, "train_accuracy": hits / n}
        return {"epoch": epoch, **means, "lr": rate, "seconds": seconds}

    def _steps(self, batches: list[feed.Batch], epoch: int, done: int, in_all: int) -> list[float]:
        """Take the next steps of an epoch, of which `done` are; return what they tallied."""
        learner, group = self.learner, self.worker.group
        for k, batch in enumerate(batches):
            if self.setting.falls:  # its rate, from step to step
                learner.set_rates(epoch - 1 + (done + k) / in_all)
                if group.size == 1:  # several processes wait for every gradient
                    learner.rest()
            learner.step(*batch)
        *sums, _, wrong = learner.tally.take()
        where = group.add([wrong])[0]  # all end, whoever's loss it was
        if where:
            step = done + int(wrong or where)
            raise TrainingFailed(f"the loss is not finite in epoch {epoch}, step {step}")
        return sums

    def _validate(self, row: dict[str, Any]) -> None:
        """Add validation loss and accuracy to a row; the first process computes, all know."""
        began, group = time.monotonic(), self.worker.group
        loss = hits = 0.0
        if group.first:
            z, y = self.learner.predict(self.valid_part.x), self.valid_part.y.cpu()
            loss = torch.nn.functional.cross_entropy(z, y).item()
            hits = (z.argmax(1) == y).double().mean().item()
        loss, row["valid_accuracy"] = group.share((loss, hits))
        row |= {"valid_loss": loss, "valid_seconds": round(time.monotonic() - began, 4)}
        if loss - loss != 0:  # neither infinity nor NaN minus itself is 0
            raise TrainingFailed(f"the validation loss is not finite after epoch {row['epoch']}")

    def _finish(self) -> dict[str, Any]:
        """Measure the last and the selected weights, keep the latter, and return the record."""
        last = self._measure(self.history[-1])
        selected = copy.deepcopy(last)
        best = _best_epoch(self.history)
        if self.state["best"] is not None and best != len(self.history):
            self.learner.model.load_state_dict(self.state["best"])
            selected = self._measure(self.history[best - 1])
        hits = self.learner.predict(self.train_part.x).argmax(1) == self.train_part.y.cpu()
        selected["train_clean"] = hits.double().mean().item()
        last.get("valid", {}).pop("predictions", None)  # long, and needed of one only
        weights = {name: w.cpu() for name, w in self.learner.model.state_dict().items()}
        path = self.worker.place.weights(self.setting.key)
        store.save(path, {"setting": asdict(self.setting), "model": weights})
        return self._record() | {"last": last, "selected": selected}

    def _measure(self, row: dict[str, Any]) -> dict[str, Any]:
        """All about validation, and what the row of the weights' epoch says of training."""
        result: dict[str, Any] = {"epoch": row["epoch"], "train_augmented": row["train_accuracy"]}
        if len(self.valid_part):
            z = self.learner.predict(self.valid_part.x)
            result["valid"] = scores.describe(z, self.valid_part.y)
        return result

    def _record(self, failed: str = "") -> dict[str, Any]:
        """The line of a run, but for what is measured at its end."""
        setting, worker, state = self.setting, self.worker, self.state
        seconds, data = round(state["seconds"], 3), feed.digest(setting.data)
        line = {
            "key": setting.key,
            "study": worker.place.study,
            "status": "failed" if failed else "done",
            "reason": failed,
            "setting": asdict(setting),
            "epochs": self.history,
            "step": self.step_kind,
            "processes": worker.group.size,
            "parallel": worker.parallel,
            "threads": torch.get_num_threads(),
            "peak_memory": state["peak_memory"] or provenance.peak_memory(worker.device),
            **models.count(setting.model),
            "train_part": self.train_part.digest,
            "valid_part": self.valid_part.digest,
            "code": state["code"],
        }
        line |= provenance.origin(worker.device, setting.seed, data, seconds)
        return line | {"commit": state["commit"]}  # the one at the run's beginning


def _best_epoch(history: list[dict]) -> int:
    """The epoch with the best validation accuracy, the earliest on a tie; 0 if none was checked."""
    checked = [row for row in history if "valid_accuracy" in row]
    if not checked:
        return 0
    return max(checked, key=lambda row: (row["valid_accuracy"], -row["epoch"]))["epoch"]


def _line(setting: Setting, row: dict[str, Any]) -> str:
    valid = f", validation {row['valid_accuracy']:.2%}" if "valid_accuracy" in row else ""
    return (
        f"{setting.arm} {setting.model} seed {setting.seed}: "
        f"epoch {row['epoch']}/{setting.epochs}, loss {row['train_loss']:.3f}, "
        f"training {row['train_accuracy']:.2%}{valid}, {row['seconds']:.1f} s"
    )


def _bar(total: int, label: str, worker: Worker):
    """A progress bar where somebody watches and tqdm is there; else a context that holds None."""
    if not (sys.stderr.isatty() and worker.group.first and worker.parallel == 1):
        return nullcontext()
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    return tqdm(total=total, desc=label, leave=False)


def work(
    worker: Worker, choice: Callable[[Setting], bool], changes: dict[str, Any]
) -> tuple[int, bool]:
    """Do the runs of a grid that `choice` wants, with `changes` to their settings, one by one.

    Returns how many were finished, and whether nothing is left to do (False: the time ran out, or
    another worker is at the last ones).
    """
    done, place = 0, worker.place
    busy: set[str] = set()  # runs at other workers
    while True:
        # Of the processes that share one run, the first alone chooses and records.
        setting = _following(place, choice, changes, busy) if worker.group.first else None
        lock = ledger.locked(place.lock(setting.key), wait=False) if setting else nullcontext(True)
        with lock as mine:
            if setting and not mine:
                busy.add(setting.key)
                continue
            if setting and setting.key in {run["key"] for run in place.recorded()}:
                continue  # another worker has just finished it
            setting = worker.group.share(setting)
            if setting is None:
                return done, not busy
            result = run(setting, worker)
            if result is None:
                worker.say(f"{setting.key}: the time is up; the same command goes on from here")
                return done, False
            if worker.group.first:
                ledger.append(place.record(), result)
                place.checkpoint(setting.key).unlink(missing_ok=True)
                worker.say(summary(result))
            done += 1


def _following(
    place: store.Place, choice: Callable[[Setting], bool], changes: dict[str, Any], busy: set[str]
) -> Setting | None:
    """The first run that is wanted, not recorded, and not at another worker."""
    runs = place.recorded()
    had = {run["key"] for run in runs} | busy
    wanted = grids.wanted(place.study, runs, choice, changes)
    return next((setting for setting in wanted if setting.key not in had), None)


def summary(result: dict[str, Any]) -> str:
    """A finished run in one line."""
    if result["status"] == "failed":
        return f"{result['key']}: recorded as failed: {result['reason']}"
    chosen = result["selected"]
    valid = f", validation {chosen['valid']['accuracy']:.2%}" if "valid" in chosen else ""
    return (
        f"{result['key']}: recorded; epoch {chosen['epoch']} of {len(result['epochs'])}{valid}, "
        f"training (clean) {chosen['train_clean']:.2%}, {result['seconds']:.0f} s"
    )
