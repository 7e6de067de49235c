"""Which rank a process is, and how ranks agree."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig
from torch.distributed import HashStore

from convline.config import load_config
from convline.errors import Interrupted, UserError
from convline.run import world as world_module
from convline.run.world import (
    OtherRankError,
    World,
    check_devices_of_torchrun,
    join,
    launcher,
    shows_messages,
    stand_alone,
)

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "GROUP_WORLD_SIZE": "1", "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}  # fmt: skip
SRUN = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
        "SLURM_JOB_ID": "41", "SLURM_STEP_ID": "2", "SLURM_STEP_NODELIST": "localhost"}  # fmt: skip


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No rank from outside; the environment and Lightning's rank are restored."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in world_module.RANK_VARIABLES:
            del os.environ[name]
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    monkeypatch.setattr(world_module, "exit_with_parent", lambda: None)  # it would watch the parent of the tests
    yield
    os.environ.clear()
    os.environ.update(before)


def settings(*words: str) -> DictConfig:
    return load_config(["data=digits", "trainer.accelerator=cpu", *words])


@pytest.mark.parametrize("exported", [{"RANK": "1"}, {"LOCAL_RANK": "1"}, {"SLURM_PROCID": "1"},
                                      {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}])  # fmt: skip
def test_a_run_of_one_device_is_the_first_rank_whatever_is_exported(exported: dict[str, str]) -> None:
    os.environ.update(exported)
    rank_zero_only.rank = 1  # as Lightning has it, if the variables were there when it was imported
    world = join(settings())
    assert (world.rank, world.size, world.num_devices) == (0, 1, 1)
    world.tell_lightning()
    assert rank_zero_only.rank == 0
    assert not any(name in os.environ for name in world_module.RANK_VARIABLES)
    assert world.environment().global_rank() == 0


def test_a_run_that_is_alone_starts_a_rank_for_each_of_its_devices() -> None:
    world = join(settings("trainer.devices=3"))
    assert (world.size, world.num_devices) == (1, 3)


def test_automatic_devices_are_one_process_without_a_gpu() -> None:
    cfg = settings("trainer.devices=auto")
    assert join(cfg).num_devices == 1
    assert cfg.trainer.devices == 1  # as it is recorded


def test_a_strategy_for_several_ranks_is_not_recorded_of_one() -> None:
    cfg = settings("trainer.strategy=ddp")
    join(cfg)
    assert cfg.trainer.strategy == "auto"
    cfg = settings("trainer.strategy=ddp", "trainer.devices=2")
    join(cfg)
    assert cfg.trainer.strategy == "ddp"


@pytest.mark.parametrize("name", TORCHRUN)
def test_a_variable_that_was_left_behind_is_no_rank(name: str) -> None:
    os.environ[name] = TORCHRUN[name]
    assert launcher() == ""
    assert join(settings()).size == 1


def test_torchrun_decides_devices_and_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "_connect", lambda world: None)
    os.environ.update(TORCHRUN, GROUP_WORLD_SIZE="3", WORLD_SIZE="6")
    cfg = settings()
    world = join(cfg)
    assert (world.size, world.num_devices, world.num_nodes, world.launcher) == (6, 2, 3, "torchrun")
    assert (cfg.trainer.devices, cfg.trainer.num_nodes) == (2, 3)


def test_a_run_of_several_nodes_is_resumed_on_one() -> None:
    cfg = settings("trainer.num_nodes=2", "trainer.devices=4")
    world = join(cfg, is_resumed=True)
    assert (world.size, world.num_devices) == (1, 4)  # it starts four ranks
    assert (cfg.trainer.devices, cfg.trainer.num_nodes) == (4, 1)


def test_srun_decides_where_its_tasks_are_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "_connect", lambda world: None)
    os.environ.update(SRUN, SLURM_STEP_NUM_TASKS="4", SLURM_PROCID="3", SLURM_STEP_NODELIST="gpu[3,7]")
    world = join(settings("trainer.devices=2", "trainer.num_nodes=2"))
    assert (world.size, world.launcher) == (4, "srun")
    environment = world.environment()
    assert (environment.global_rank(), environment.local_rank(), environment.node_rank()) == (3, 1, 1)
    assert (environment.world_size(), environment.main_address) == (4, "gpu3")
    assert environment.main_port == 15000 + 41 + 2 * 97
    environment.validate_settings(2, 2)


def test_steps_of_one_job_have_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "_connect", lambda world: None)
    ports = []
    for step in ("0", "1"):
        os.environ.update(SRUN, SLURM_STEP_ID=step)
        os.environ.pop("MASTER_PORT", None)
        ports.append(join(settings("trainer.devices=2")).environment().main_port)
    assert ports[0] != ports[1]


def test_of_the_tasks_of_srun_ranks_leave_messages_to_the_first_of_their_machine() -> None:
    os.environ.update(SRUN)
    assert shows_messages(["model=lenet"])  # a run of its own
    assert not shows_messages(["model=lenet", "trainer.devices=2"])
    os.environ["SLURM_LOCALID"] = "0"
    assert shows_messages(["trainer=ddp"])
    os.environ["SLURM_LOCALID"] = "1"
    with pytest.raises(UserError, match="srun has started 2 tasks"):
        join(settings("trainer.devices=3"))
    assert not shows_messages()  # the config has decided it


def test_an_interruption_ends_the_other_ranks_after_the_first() -> None:
    order = []

    def act(world: World) -> None:
        if world.rank == 0:
            time.sleep(0.2)
            order.append(0)
        raise Interrupted(signal.SIGUSR1)

    store = HashStore()

    def run(rank: int) -> None:
        with suppress(Interrupted), World(rank, 2, 2, _store=store) as world:
            act(world)
        order.append(f"end of {rank}")

    threads = [threading.Thread(target=run, args=(rank,)) for rank in (1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert order[0] == 0
    assert sorted(order[1:]) == ["end of 0", "end of 1"]


@pytest.mark.parametrize(
    ("environment", "words", "expected"),
    [
        (TORCHRUN, ["trainer.devices=4"], "torchrun has started 2 processes, but the settings ask for 4"),
        (TORCHRUN, ["trainer.num_nodes=2"], "1 process on each of 2 nodes"),
        ({"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "0"}, ["trainer.devices=2"], "Type: srun --ntasks 2"),
        ({}, ["trainer.num_nodes=2", "trainer.devices=4"], "torchrun --nnodes 2 --nproc-per-node 4"),
        ({**TORCHRUN, "GROUP_WORLD_SIZE": "2", "WORLD_SIZE": "3"}, [], "has started 3 processes in all, but 2 proc"),
        ({}, ["trainer.devices=3", "data.batch_size=2"], "data.batch_size=2 leaves a rank without images"),
    ],
)
def test_ranks_that_do_not_fit_the_settings(environment: dict[str, str], words: list[str], expected: str) -> None:
    os.environ.update(environment)
    with pytest.raises(UserError, match=expected):
        join(settings(*words))


def test_of_the_ranks_of_torchrun_the_first_of_each_machine_shows_messages() -> None:
    assert (launcher(), shows_messages()) == ("", True)
    os.environ.update(TORCHRUN)
    assert (launcher(), shows_messages()) == ("torchrun", False)
    os.environ["LOCAL_RANK"] = "0"
    assert shows_messages()
    stand_alone(settings())
    assert launcher() == ""


def on_ranks(size: int, minutes: float, act: Callable[[World], object]) -> list[object]:
    """What `act` returns or raises on each of some ranks, which are threads."""
    store, results = HashStore(), [None] * size

    def run(rank: int) -> None:
        world = World(rank, size, size, minutes=minutes, _store=store)
        try:
            with world:
                results[rank] = act(world)  # type: ignore[call-overload]
        except UserError as error:
            results[rank] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return results


def test_ranks_exchange_values_in_the_order_of_the_ranks() -> None:
    assert on_ranks(3, 1, lambda world: world.exchange("squares", world.rank**2)) == [[0, 1, 4]] * 3
    assert (
        on_ranks(2, 1, lambda world: world.from_first_rank("folder", lambda: f"made by {world.rank}"))
        == ["made by 0"] * 2
    )


def test_a_rank_with_other_data_is_named_on_all_ranks() -> None:
    for error in on_ranks(3, 1, lambda world: world.check_same("data", "abc" if world.rank < 2 else "xyz")):
        assert str(error).startswith("rank 2 of 3 has other data than the first rank: xyz, not abc.")


def test_a_setting_that_differs_is_named() -> None:
    for error in on_ranks(2, 1, lambda world: world.check_same("settings", {"seed": 0, "lr": world.rank / 2})):
        assert str(error).startswith("rank 1 of 2 has other settings than the first rank: lr=0.5, not 0.0.")


def test_the_other_ranks_end_after_the_first_or_with_its_failure() -> None:
    order = []

    def act(world: World) -> None:
        if world.rank == 0:
            time.sleep(0.3)
            order.append(0)
            world.end()
        else:
            world.wait_for_end()
            order.append(world.rank)

    on_ranks(2, 1, act)
    assert order == [0, 1]

    def fail(world: World) -> None:
        if world.rank == 0:
            world.fail(UserError("the test set has changed"))
        else:
            world.wait_for_end()

    assert "rank 0 of 2" in str(on_ranks(2, 1, fail)[1])


def test_a_first_rank_that_is_lost_while_it_tests_is_a_failure() -> None:
    class Lost:
        def check(self, keys: list[str]) -> bool:
            raise RuntimeError("Connection reset by peer")

    with pytest.raises(OtherRankError, match="the first rank has ended"):
        World(1, 2, 2, _store=Lost()).wait_for_end()  # type: ignore[arg-type]


def test_a_number_of_devices_beside_torchrun_is_refused_unless_it_is_right() -> None:
    check_devices_of_torchrun(3)
    os.environ.update(TORCHRUN)
    check_devices_of_torchrun(2)
    with pytest.raises(UserError, match=r"trainer\.devices=1 has no effect: torchrun has started 2 processes"):
        check_devices_of_torchrun(1)


def test_an_interrupted_rank_does_not_wait_for_a_first_one_that_was_killed() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    begin = time.monotonic()
    with suppress(Interrupted), World(1, 2, 2, first_process=(socket.gethostname(), process.pid), _store=HashStore()):
        raise Interrupted(signal.SIGTERM)
    assert time.monotonic() - begin < world_module.RECORD_SECONDS / 2


def test_a_rank_that_fails_ends_the_wait_of_the_others() -> None:
    def act(world: World) -> object:
        if world.rank == 1:
            raise UserError("no images here")
        return world.exchange("ready", None)

    first, second = on_ranks(2, 1, act)
    assert isinstance(first, OtherRankError)
    assert "rank 1 of 2 on" in str(first)
    assert str(first).endswith("failed: no images here")
    assert str(second) == "no images here"


def test_a_rank_that_does_not_arrive_is_named() -> None:
    def act(world: World) -> object:
        return world.exchange("ready", None) if world.rank == 0 else None

    error, _ = on_ranks(2, 0.005, act)
    assert str(error).startswith("rank 1 of 2 did not arrive within 0.005 minutes")


def test_a_broken_connection_is_explained_by_the_rank_that_broke_it() -> None:
    store = HashStore()
    first, second = (World(rank, 2, 2, _store=store) for rank in (0, 1))
    second.fail(MemoryError("out of memory"))
    cause = first.cause_of(RuntimeError("Connection closed by peer"))
    assert str(cause).endswith("failed: MemoryError: out of memory")
    own = ValueError("a mistake of this rank's own")
    assert first.cause_of(own) is own


def test_a_first_rank_that_cannot_be_reached_is_an_error_in_time() -> None:
    os.environ.update(TORCHRUN, TORCHELASTIC_USE_AGENT_STORE="True")
    with pytest.raises(UserError, match=r"rank 1 of 2 did not reach the first rank at 127.0.0.1:1 within 0.01 minutes"):
        join(settings("trainer.rendezvous_minutes=0.01"))
