"""A directory made equal to images, one after another, whatever a store did to it in between."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.trace import ROOT, Image, InodeKind, Node, empty_image
from harness.crash.materialize import Materializer

Description = dict[str, tuple[object, ...]]


def image(**described: object) -> Image:
    """`name=bytes` a file, `name=Path` a symbolic link, `name=dict` a directory, `name="other"` a hard link."""
    nodes: dict[int, Node] = {}
    nodes[ROOT] = Node(InodeKind.DIRECTORY, mode=0o755, entries=_entries(nodes, described))
    return Image(nodes)


def _entries(nodes: dict[int, Node], described: dict[str, object]) -> dict[str, int]:
    entries: dict[str, int] = {}
    for name, what in described.items():
        number = len(nodes) + 100
        match what:
            case str():
                entries[name] = entries[what]
                continue
            case Node():
                nodes[number] = what
            case bytes():
                nodes[number] = Node(InodeKind.FILE, mtime_ns=5_000_000_000, content=what)
            case Path():
                nodes[number] = Node(InodeKind.SYMLINK, target=str(what))
            case dict():
                nodes[number] = Node(InodeKind.DIRECTORY, mode=0o755)
                nodes[number].entries.update(_entries(nodes, what))
        entries[name] = number
    return entries


def wanted(source: Image) -> Description:
    """What a directory equal to `source` looks like."""
    names: dict[int, list[str]] = {}
    for path, number in source.paths().items():
        names.setdefault(number, []).append(path)
    found: Description = {}
    for path, number in source.paths().items():
        node = source.nodes[number]
        match node.kind:
            case InodeKind.FILE:
                found[path] = (node.content, node.mode, node.mtime_ns, tuple(sorted(names[number])))
            case InodeKind.DIRECTORY:
                found[path] = ("directory", node.mode | 0o700)
            case InodeKind.SYMLINK:
                found[path] = ("link", node.target)
    return found


def actual(root: Path) -> Description:
    """What a directory looks like."""
    paths = sorted(root.rglob("*"))
    same: dict[int, list[str]] = {}
    for path in paths:
        same.setdefault(os.lstat(path).st_ino, []).append(str(path.relative_to(root)))
    found: Description = {}
    for path in paths:
        status, name = os.lstat(path), str(path.relative_to(root))
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            found[name] = ("link", os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            found[name] = ("directory", mode)
        else:
            found[name] = (path.read_bytes(), mode, status.st_mtime_ns, tuple(sorted(same[status.st_ino])))
    return found


# --- any image after any other -------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
CONTENTS = st.sampled_from([b"", b"1", b"2", b"longer"])
FILES = st.builds(
    Node,
    kind=st.just(InodeKind.FILE),
    mode=st.sampled_from([0o644, 0o600, 0o400]),
    mtime_ns=st.sampled_from([0, 5_000_000_000, 1_700_000_000_123_456_789]),
    content=CONTENTS,
)
LINKS = st.builds(Node, kind=st.just(InodeKind.SYMLINK), target=st.sampled_from(["a", "nowhere", "d"]))


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Up to three inodes that can appear under several names, in the root and in two directories."""
    nodes: dict[int, Node] = {
        ROOT: Node(InodeKind.DIRECTORY, mode=0o755),
        1: Node(InodeKind.DIRECTORY, mode=draw(st.sampled_from([0o755, 0o700]))),
        2: Node(InodeKind.DIRECTORY, mode=0o755),
    }
    first = draw(st.integers(3, 5))
    inodes = {first + number: node for number, node in enumerate(draw(st.lists(FILES | LINKS, max_size=3)))}
    nodes.update(inodes)
    used: set[int] = set()
    for directory in (ROOT, 1, 2):
        for name in draw(st.sets(NAMES)) if inodes else ():
            number = draw(st.sampled_from(sorted(inodes)))
            if inodes[number].kind is InodeKind.FILE or number not in used:
                nodes[directory].entries[name] = number
                used.add(number)
    if draw(st.booleans()):
        nodes[ROOT].entries[draw(st.sampled_from(["d", "a"]))] = 1
        if draw(st.booleans()):
            nodes[1].entries[draw(st.sampled_from(["e", "a"]))] = 2
    return Image(nodes)


def append(path: Path) -> None:
    if path.is_file():
        with path.open("ab") as file:
            file.write(b"more")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"1")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    other.replace(path)


def become_directory(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "a").write_bytes(b"inside")


def rewrite_in_secret(path: Path) -> None:
    """Other bytes of the same size, and the times set back."""
    if path.is_file() and path.stat().st_size:
        before = path.stat()
        path.write_bytes(b"?" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def share(path: Path) -> None:
    if path.is_file() and not (path.parent / "shared").exists():
        os.link(path, path.parent / "shared")


def chmod(path: Path) -> None:
    if path.exists() and not path.is_symlink():
        path.chmod(0o777)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


DEEDS: list[Callable[[Path], None]] = [
    append,
    replace,
    become_directory,
    rewrite_in_secret,
    share,
    chmod,
    remove,
]


@given(
    steps=st.lists(
        st.tuples(images(), st.lists(st.tuples(st.sampled_from(DEEDS), NAMES), max_size=2)), max_size=5
    )
)
@settings(max_examples=120, deadline=None)
def test_any_image_after_any_other(
    steps: list[tuple[Image, list[tuple[Callable[[Path], None], str]]]],
) -> None:
    """Names, contents, modes, times, links: all as in the image, although a store changed things in between."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        materializer = Materializer(root)
        for source, deeds in steps:
            materializer.place(source)
            assert actual(root) == wanted(source)
            assert not materializer.changed()
            for deed, name in deeds:
                deed(root / name)


# --- only what differs ---------------------------------------------------------------------


def identities(root: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file: both stay if nobody touches it."""
    statuses = {str(path.relative_to(root)): os.lstat(path) for path in root.rglob("*") if path.is_file()}
    return {name: (status.st_ino, status.st_ctime_ns) for name, status in statuses.items()}


def test_an_equal_image_touches_nothing(tmp_path: Path) -> None:
    """Not even with other inode numbers in the image."""
    materializer = Materializer(tmp_path)
    materializer.place(image(a=b"1", l="a", d={"x": b"2"}, s=Path("a")))
    before = identities(tmp_path)
    same = image(s=Path("a"), d={"x": b"2"}, a=b"1", l="a")
    materializer.place(same)
    assert identities(tmp_path) == before
    assert actual(tmp_path) == wanted(same)


def test_only_the_file_that_differs_is_written(tmp_path: Path) -> None:
    """Its neighbours keep inode and times."""
    materializer = Materializer(tmp_path)
    materializer.place(image(a=b"1", b=b"2", d={"x": b"3"}))
    before = identities(tmp_path)
    materializer.place(image(a=b"1", b=b"changed", d={"x": b"3"}))
    after = identities(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"b"}


def test_only_what_the_store_changed_is_written(tmp_path: Path) -> None:
    """What recovery left alone is left alone."""
    materializer = Materializer(tmp_path)
    source = image(a=b"1", b=b"2")
    materializer.place(source)
    (tmp_path / "b").write_bytes(b"recovered")
    (tmp_path / "new").write_bytes(b"")
    before = identities(tmp_path)
    materializer.place(source)
    after = identities(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"b"}
    assert actual(tmp_path) == wanted(source)


def test_a_new_link_leaves_the_content_alone(tmp_path: Path) -> None:
    """The file gets a name and is not written again."""
    materializer = Materializer(tmp_path)
    materializer.place(image(a=b"1"))
    inode = os.stat(tmp_path / "a").st_ino
    materializer.place(image(a=b"1", b="a"))
    assert {os.stat(tmp_path / name).st_ino for name in "ab"} == {inode}


# --- hard links ----------------------------------------------------------------------------


def test_equal_files_are_not_left_linked(tmp_path: Path) -> None:
    """Two names of one file, then two files with the same content: writing one must not change the other."""
    materializer = Materializer(tmp_path)
    materializer.place(image(a=b"1", b="a"))
    materializer.place(image(a=b"1", b=b"1"))
    (tmp_path / "a").write_bytes(b"2")
    assert (tmp_path / "b").read_bytes() == b"1"


def test_links_that_change_partners(tmp_path: Path) -> None:
    """The same three names, shared otherwise."""
    materializer = Materializer(tmp_path)
    for source in (image(a=b"1", b="a", c=b"1"), image(a=b"1", b=b"1", c="b"), image(a=b"1", b=b"2", c="a")):
        materializer.place(source)
        assert actual(tmp_path) == wanted(source)
        assert not materializer.changed()


# --- what is in the way --------------------------------------------------------------------


def test_a_socket_in_the_way_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kind of file a store left under a name that the image needs."""
    monkeypatch.chdir(tmp_path)  # a socket's path is limited to about a hundred bytes
    materializer = Materializer(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("a")
        materializer.place(image(a=b"1"))
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_read_only_file_is_replaced_where_it_can_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the privilege to write into it, it is removed and made anew."""
    materializer = Materializer(tmp_path)
    materializer.place(image(a=Node(InodeKind.FILE, mode=0o400, content=b"1")))
    opened, refused = os.open, [str(tmp_path / "a")]

    def refuse_once(path: str, flags: int, mode: int = 0o777) -> int:
        if path in refused and os.path.exists(path):
            refused.remove(path)
            raise PermissionError(path)
        return opened(path, flags, mode)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse_once)
        materializer.place(image(a=b"2"))
    assert not refused
    assert (tmp_path / "a").read_bytes() == b"2"


def test_a_nested_tree_disappears(tmp_path: Path) -> None:
    """Deepest first, whatever a store left in it."""
    materializer = Materializer(tmp_path)
    materializer.place(image(d={"e": {"f": b"1"}}))
    (tmp_path / "d/e/g").mkdir()
    materializer.place(empty_image())
    assert list(tmp_path.iterdir()) == []


# --- noticing changes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda root: append(root / "a"),
        lambda root: rewrite_in_secret(root / "a"),
        lambda root: (root / "a").unlink(),
        lambda root: (root / "new").touch(),
        lambda root: (root / "new").mkdir(),
        lambda root: (root / "a").rename(root / "z"),
        lambda root: (root / "a").replace(root / "b"),
        lambda root: (root / "a").chmod(0o600),
        lambda root: (root / "d").chmod(0o700),
        lambda root: os.utime(root / "a", ns=(1, 1)),
        lambda root: os.truncate(root / "d/x", 0),
        lambda root: os.link(root / "a", root / "new"),
        lambda root: replace(root / "a"),
        lambda root: become_directory(root / "b"),
        lambda root: (root / "s").unlink(),
        lambda root: remove(root / "d"),
    ],
)
def test_every_change_is_noticed(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """Content, size, names, modes and times; also what a store did and then disguised."""
    materializer = Materializer(tmp_path)
    materializer.place(image(a=b"11", b=b"22", d={"x": b"3"}, s=Path("a")))
    change(tmp_path)
    assert materializer.changed()


def test_reading_is_no_change(tmp_path: Path) -> None:
    """Nor is opening for writing, without writing."""
    materializer = Materializer(tmp_path)
    materializer.place(image(a=b"1", b="a", d={"x": b"3"}, s=Path("a")))
    (tmp_path / "a").read_bytes()
    (tmp_path / "d/x").open("r+b").close()
    os.listdir(tmp_path / "d")
    assert not materializer.changed()


def test_the_order_of_a_listing_tells_neither_age_nor_name(tmp_path: Path) -> None:
    """On a file system in memory, where it would tell the age: whatever came first, the order is that of the names
    alone, and as if by chance."""
    files = {f"file {number}": b"content" for number in range(12)}
    orders = set()
    for names in (list(files), list(reversed(files))):
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else tmp_path) as folder:
            materializer = Materializer(Path(folder))
            for count in range(1, len(names) + 1):
                materializer.place(image(**{name: files[name] for name in names[:count]}))
                assert not materializer.changed()
            orders.add(tuple(os.listdir(folder)))
    assert not orders & {tuple(files), tuple(reversed(files))}
    if os.path.isdir("/dev/shm"):
        assert len(orders) == 1


def test_a_file_with_the_name_that_files_have_meanwhile_is_kept(tmp_path: Path) -> None:
    strange = image(**{".~mixed~": b"mine", "other": b"content", "further": b"content"})
    Materializer(tmp_path).place(strange)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        ".~mixed~": b"mine", "other": b"content", "further": b"content",
    }
