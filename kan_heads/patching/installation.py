"""Finds an installed program, says in which state its files are, and changes them."""

from __future__ import annotations

import enum
import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from kan_heads.errors import ConfigError, ModelError
from kan_heads.patching import diff, installed_files
from kan_heads.patching.records import TARGETS, Patch, find_patch, patches_dir
from kan_heads.writing import write_files


class State(enum.Enum):
    """What a file that a patch changes can be."""

    PRISTINE = "pristine"
    PATCHED = "patched"
    OTHER = "other"
    MISSING = "missing"


@dataclass(frozen=True)
class Installation:
    """A release in an environment, and the patch for it.

    Args:
        distribution: name of the package.
        version: its version.
        root: site-packages.
        patch: the patch for this release.
    """

    distribution: str
    version: str
    root: Path
    patch: Patch

    def states(self) -> dict[str, State]:
        """The state of each file, by its path in site-packages."""
        return {name: self._state(name, content) for name, content in self._contents().items()}

    @property
    def record(self) -> str:
        """Path in site-packages of the list of installed files; installers other than pip may write none."""
        return f"{self.distribution.replace('-', '_')}-{self.version}.dist-info/RECORD"

    def record_agrees(self) -> bool:
        """Whether the list of installed files, if there is one, has the checksums of the present files."""
        record, contents = self._read(self.record), self._contents()
        return record is None or self._corrected(record, contents) == record

    def change(self, wanted: State) -> list[str]:
        """Brings every file into one state, and their checksums in the list of installed files with them.

        Nothing is written unless every file is as released or as patched. New contents are written
        beside the files and checked before the first file is replaced, and a file is replaced as a
        whole: hard links into a cache keep their content, and a killed process leaves every file in
        one state or the other, from which a second call goes on. The list comes last; it is corrected
        also where no file has to change.

        Args:
            wanted: ``State.PATCHED`` or ``State.PRISTINE``.

        Returns:
            the files that were changed; empty if there was nothing to do.

        Raises:
            ModelError: a file is neither as released nor as patched, or cannot be written.
        """
        contents = self._contents()
        states = {name: self._state(name, content) for name, content in contents.items()}
        self._refuse_strangers(states)
        names = [name for name, state in states.items() if state is not wanted]
        new = {name: self._changed(name, contents[name] or b"", wanted) for name in names}
        record = self._read(self.record)
        if record is not None:
            listed = self._corrected(record, {**contents, **new})
            if listed != record:
                new[self.record] = listed
        try:
            write_files({self.root / name: content for name, content in new.items()})
        except OSError as error:
            reason = error.strerror or error
            remedy = "use an environment of your own (python -m venv) or an account that may write there"
            raise ModelError(f"{self.root} cannot be written: {reason}; {remedy}") from error
        for name in names:
            if self._state(name, self._read(name)) is not wanted:
                raise ModelError(
                    f"{self.root / name} was changed by another program meanwhile; run this again"
                )
        return list(new)

    def restore_command(self) -> str:
        """What brings the files back as released."""
        return f"pip install --force-reinstall --no-deps {self.distribution}=={self.version}"

    def _refuse_strangers(self, states: dict[str, State]) -> None:
        for state, reason in ((State.MISSING, "missing"), (State.OTHER, "modified")):
            if names := [name for name, found in states.items() if found is state]:
                remedy = f"restore with: {self.restore_command()}"
                raise ModelError(
                    f"{reason} in {self.root}: {', '.join(names)}; nothing was changed; {remedy}"
                )

    def _contents(self) -> dict[str, bytes | None]:
        return {name: self._read(name) for name in self.patch.pristine}

    def _changed(self, name: str, content: bytes, wanted: State) -> bytes:
        new = diff.apply(self.patch.hunks[name], content, reverse=wanted is State.PRISTINE)
        if self._state(name, new) is not wanted:
            raise ModelError(f"{name}: the patch gives another file than recorded; reinstall kan-heads")
        return new

    def _corrected(self, record: bytes, contents: dict[str, bytes | None]) -> bytes:
        present = {name: content for name, content in contents.items() if content is not None}
        known = {name: {self.patch.pristine[name], self.patch.patched[name]} for name in present}
        return installed_files.corrected(record, present, known)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ModelError(f"{self.root / name} cannot be read: {error.strerror}") from error

    def _state(self, name: str, content: bytes | None) -> State:
        if content is None:
            return State.MISSING
        checksum = hashlib.sha256(content).hexdigest()
        if checksum == self.patch.pristine[name]:
            return State.PRISTINE
        return State.PATCHED if checksum == self.patch.patched[name] else State.OTHER


def find_installation(target: str, path: list[str] | None = None) -> Installation:
    """Finds a program and the patch for its release, without importing it.

    Args:
        target: a name in ``TARGETS``, e.g. ``mace``.
        path: folders to look in; ``sys.path`` if ``None``.

    Raises:
        ConfigError: the target is unknown or not installed.
        ModelError: there is no patch for the installed release.
    """
    if target not in TARGETS:
        raise ConfigError(f"there is no patch for {target!r}; valid: {', '.join(sorted(TARGETS))}")
    name = TARGETS[target]
    options = {} if path is None else {"path": path}
    found = next(iter(importlib.metadata.distributions(name=name, **options)), None)
    if found is None:
        raise ConfigError(
            f"{name} is not installed; in a clone of kan-heads run: pip install -e '.[{target}]'"
        )
    root = Path(str(found.locate_file("")))
    return Installation(name, found.version, root, find_patch(name, found.version, patches_dir()))
