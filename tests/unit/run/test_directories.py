"""Run directories vanish, whatever happens to their owner, and nothing else does."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.errors import HarnessFault
from harness.run import directories
from harness.run.containment import fresh_interpreter
from harness.run.directories import memory_directory, remove_tree, run_directory, sweep


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory, and so a registry, for each test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / "base"
    place.mkdir()
    yield place
    for path in place.iterdir():
        remove_tree(path)


def registry(base: Path) -> Path:
    return base.parent / f"durability-harness-{os.geteuid()}"


def in_child(base: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter with the same temporary directory."""
    preamble = f"import os, signal; from pathlib import Path; base = Path({str(base)!r})\n"
    names = "from harness.run.directories import *; from harness.run import directories, namespaces\n"
    return subprocess.run(
        fresh_interpreter(f"\n{preamble}{names}{code}"),
        env={**os.environ, "TMPDIR": str(base.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


KILLED = """
with run_directory(base) as path:
    (path / "deep" / "deeper").mkdir(parents=True)
    (path / "deep" / "file").write_text("x")
    print(path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_owner_left_is_swept(base: Path) -> None:
    """After kill -9 the directory is there, and the next sweep removes it and its claim."""
    path = Path(in_child(base, KILLED).stdout.strip())
    assert path.is_dir()
    assert sweep() == [path]
    assert list(base.iterdir()) == []
    assert list(registry(base).iterdir()) == []
    assert sweep() == []


def test_the_directory_of_a_living_owner_is_not_swept(base: Path) -> None:
    """Neither our own sweep nor that of another process takes what is in use."""
    with run_directory(base) as path:
        assert sweep() == []
        assert in_child(base, "print(sweep())").stdout.strip() == "[]"
        assert path.is_dir()


def test_a_run_directory_is_fresh_private_and_removed(base: Path) -> None:
    """It is empty, for its owner only, has an ordinary name, and is gone afterwards with its claim."""
    with run_directory(base) as path:
        assert path.parent == base
        assert path.name.startswith("tmp") and len(path.name) == 11
        assert list(path.iterdir()) == []
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (path / "file").write_text("x")
    assert not path.exists()
    assert list(registry(base).iterdir()) == []


def test_it_is_removed_after_an_exception_too(base: Path) -> None:
    """An exception passes through, and the directory goes."""
    with pytest.raises(KeyError), run_directory(base):
        raise KeyError
    assert list(base.iterdir()) == []
    assert list(registry(base).iterdir()) == []


def test_by_default_it_is_where_memory_directory_says(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a base the chosen file system is used."""
    monkeypatch.setattr(directories, "MEMORY_FILE_SYSTEM", base)  # no mount: the temporary directory it is
    with run_directory() as path:
        assert path.parent == base.parent


def test_a_forked_child_that_leaves_the_block_removes_nothing(base: Path) -> None:
    """Only the process that made the directory removes it."""
    code = """
with run_directory(base) as path:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print(path.is_dir(), len(os.listdir(path.parent)))
"""
    assert in_child(base, code).stdout.split("\n")[0] == "True 1"
    assert list(base.iterdir()) == []


def test_a_directory_that_took_the_name_later_is_spared(base: Path) -> None:
    """What has the name of a dead owner's directory but another inode is somebody else's."""
    path = Path(in_child(base, KILLED).stdout.strip())
    path.rename(base / "moved")
    path.mkdir()
    (path / "precious").write_text("x")
    assert sweep() == []
    assert (path / "precious").exists()
    assert list(registry(base).iterdir()) == []


def test_a_symbolic_link_that_took_the_name_is_spared(base: Path, tmp_path: Path) -> None:
    """Neither the link nor what it points to is touched."""
    path = Path(in_child(base, KILLED).stdout.strip())
    remove_tree(path)
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("x")
    path.symlink_to(target)
    assert sweep() == []
    assert (path / "precious").exists()


KILLED_EARLY = """
Path.absolute = lambda path: path
class Killing(type(base)):
    def mkdir(self, mode=0o777):
        super().mkdir(mode) if {made} else None
        print(self, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
with run_directory(Killing(base)):
    pass
"""


@pytest.mark.parametrize("made", [True, False])
def test_killed_before_the_inode_is_known(base: Path, made: bool) -> None:
    """Claimed but not yet described: an empty directory is removed, one that is not there is no matter."""
    path = Path(in_child(base, KILLED_EARLY.format(made=made)).stdout.strip())
    assert path.exists() == made
    assert sweep() == ([path] if made else [])
    assert list(base.iterdir()) == []
    assert list(registry(base).iterdir()) == []


def test_killed_before_the_inode_is_known_spares_what_is_not_empty(base: Path) -> None:
    """Without the inode a name is not enough to remove somebody's files."""
    path = Path(in_child(base, KILLED_EARLY.format(made=True)).stdout.strip())
    (path / "precious").write_text("x")
    assert sweep() == []
    assert (path / "precious").exists()
    assert list(registry(base).iterdir()) == []


def test_what_resists_keeps_its_claim(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that could not be removed is tried again by the next sweep."""
    path = Path(in_child(base, KILLED).stdout.strip())
    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", refuse)
        assert sweep() == []
    assert len(list(registry(base).iterdir())) == 1
    assert sweep() == [path]


def refuse(*arguments: object, **keywords: object) -> None:
    raise PermissionError("not now")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"path": 3}', b'{"path": "/nowhere/at/all"}'])
def test_a_claim_that_says_nothing_is_cleared_away(base: Path, content: bytes) -> None:
    """Empty, damaged and outdated claims go; nothing else does."""
    sweep()
    (registry(base) / "0123").write_bytes(content)
    assert sweep() == []
    assert list(registry(base).iterdir()) == []


def test_a_claim_to_somebody_elses_directory_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of another owner is not removed, whatever the claim says."""
    path = Path(in_child(base, KILLED).stdout.strip())
    status = os.lstat(path)
    other = os.stat_result([*status[:4], status.st_uid + 1, *status[5:]])
    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", lambda asked: other)
        assert sweep() == []
    assert path.is_dir()


def test_foreign_things_in_the_registry_are_left_alone(base: Path) -> None:
    """A directory, a link or a pipe in the registry is not opened, followed or waited for."""
    sweep()
    (registry(base) / "directory").mkdir()
    (registry(base) / "link").symlink_to(base)
    os.mkfifo(registry(base) / "pipe")
    assert sweep() == []
    assert len(list(registry(base).iterdir())) == 3


def test_a_registry_that_others_can_write_is_refused(base: Path) -> None:
    """Claims that anybody could have written would let anybody remove our files."""
    sweep()
    registry(base).chmod(0o777)
    with pytest.raises(HarnessFault, match="open to other users"):
        sweep()


def test_a_registry_that_is_a_link_is_refused(base: Path) -> None:
    """The registry is not followed to somewhere else."""
    registry(base).symlink_to(base)
    with pytest.raises(HarnessFault, match="no directory of ours"), run_directory(base):
        pass


def test_a_claim_swept_before_it_is_locked_is_made_again(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that runs between the creation of a claim and its lock costs only another attempt."""
    answers = iter([False, False, True])
    monkeypatch.setattr(directories, "_lock", lambda claim: next(answers))
    with run_directory(base) as path:
        assert path.is_dir()


def test_attempts_have_an_end(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither claims nor names are tried for ever."""
    with monkeypatch.context() as patched:
        patched.setattr(directories, "_lock", lambda claim: False)
        with pytest.raises(HarnessFault, match="swept without end"), run_directory(base):
            pass
    monkeypatch.setattr(directories, "_LETTERS", "a")
    (base / "tmpaaaaaaaa").mkdir()
    with pytest.raises(HarnessFault, match="takes no new directories"), run_directory(base):
        pass
    assert (base / "tmpaaaaaaaa").is_dir()


# --- where ----------------------------------------------------------------------------------


def test_memory_is_refused_with_a_reason(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mount, no permission, no room: then the temporary directory, and it is said why."""
    monkeypatch.setattr(directories, "MEMORY_FILE_SYSTEM", base)
    assert memory_directory().reason.endswith("is no mounted file system")
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    chosen = memory_directory(1 << 60)
    assert (chosen.path, chosen.in_memory) == (base.parent, False)
    assert "MiB needed" in chosen.reason
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert memory_directory().reason.endswith("is not writable")


def test_memory_is_preferred(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writable memory file system with room is taken."""
    monkeypatch.setattr(directories, "MEMORY_FILE_SYSTEM", base)
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    chosen = memory_directory(1)
    assert (chosen.path, chosen.in_memory) == (base, True)


# --- removal --------------------------------------------------------------------------------


def test_links_are_removed_and_not_followed(base: Path, tmp_path: Path) -> None:
    """What a link in the tree points to stays, with its mode."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tree := base / "tree").mkdir()
    (tree / "link").symlink_to(outside)
    (tree / "broken").symlink_to("nowhere")
    assert remove_tree(tree)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o500
    assert remove_tree(tree)


def test_a_link_in_place_of_the_tree_is_not_followed(base: Path, tmp_path: Path) -> None:
    """The tree itself being a link, nothing is removed."""
    (tmp_path / "precious").mkdir()
    (base / "link").symlink_to(tmp_path / "precious")
    assert not remove_tree(base / "link")
    assert (tmp_path / "precious").is_dir()
    (base / "link").unlink()


def test_a_tree_deeper_than_the_stack_is_removed(base: Path) -> None:
    """Depth costs neither recursion nor descriptors."""
    here = os.open(base, os.O_DIRECTORY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    assert remove_tree(base / "d")


UNREADABLE = """
namespaces.set_capabilities(0, 0)  # root, too, is now asked for permissions
for name in ("unreadable", "unreadable/inner", "readonly", "readonly/inner", "sealed"):
    (base / "tree" / name).mkdir(parents=True)
for name in ("unreadable/inner/file", "readonly/file", "readonly/inner/file"):
    (base / "tree" / name).write_text("x")
modes = {"unreadable/inner": 0, "unreadable": 0, "readonly/inner": 0o500, "readonly": 0o500}
for name, mode in modes.items():
    (base / "tree" / name).chmod(mode)
(base / "tree").chmod(0)
print(remove_tree(base / "tree"))
"""


def test_unreadable_and_readonly_trees_are_removed(base: Path) -> None:
    """Permissions that the store has taken away are put back first."""
    ended = in_child(base, UNREADABLE)
    assert (ended.stdout.strip(), ended.stderr) == ("True", "")
    assert list(base.iterdir()) == []


def test_without_path_descriptors_permissions_are_put_back_too(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS has no O_PATH, but a chmod that does not follow links."""
    calls = []
    monkeypatch.delattr(os, "O_PATH", raising=False)
    monkeypatch.setattr(os, "chmod", lambda *_, **keywords: calls.append(keywords["follow_symlinks"]))
    (base / "tree" / "inner").mkdir(parents=True)
    assert remove_tree(base / "tree")
    assert calls == [False, False]


def test_a_tree_that_cannot_be_opened_is_reported(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removal does not raise; it says that something is left."""
    (base / "tree" / "inner").mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(directories, "_open_accessible", opens_only(base / "tree"))
        assert not remove_tree(base / "tree")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        (base / "tree" / "file").touch()
        assert not remove_tree(base / "tree")
    assert remove_tree(base / "tree")


def opens_only(allowed: Path) -> Callable[[str, int | None], int]:
    def open_accessible(name: str, parent: int | None) -> int:
        if name != str(allowed):
            raise PermissionError(name)
        return os.open(name, os.O_DIRECTORY)

    return open_accessible
