"""What handlers find beside the bindings."""

import copy
import pickle

import pytest
from support.rigs.builtin_handler import context

from schedule_grpc.backup import BackupSettings
from schedule_grpc.builtin.backup_database import backup_database
from schedule_grpc.builtin.equipped import Equipped
from schedule_grpc.errors import ConfigurationError


class Bindings:
    """As an environment, one binding."""

    DB = "a binding"

    def names(self) -> tuple[str, ...]:
        """Return the names of the bindings."""
        return ("DB",)


def test_bindings_and_equipment_have_names_of_one_kind():
    """Handlers need not know which is which; what lists the bindings lists no equipment."""
    env = Equipped(Bindings(), BACKUP="settings", HTTP="others")
    assert (env.DB, env.BACKUP, env.HTTP, env.names()) == ("a binding", "settings", "others", ("DB",))
    with pytest.raises(AttributeError):
        _ = env.NONE


def test_a_binding_may_not_have_the_name_of_equipment():
    """One of them would be hidden."""
    with pytest.raises(ConfigurationError, match=r"^bindings.DB: this name is the server's own; take another one"):
        Equipped(Bindings(), DB="settings")


def test_python_s_own_questions_are_answered():
    """Copying asks an object before its __init__ has run: that must not recurse."""
    copied = copy.copy(Equipped(Bindings(), BACKUP="settings"))
    assert copied.BACKUP == "settings"
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        pickle.dumps(Equipped(Bindings(), BACKUP=lambda: None))


def test_no_handler_changes_what_the_others_find():
    """Neither under a name, nor within the settings that all share."""
    settings = BackupSettings(sources={"DB": "sqlite:///x.db"}, store_options={"region": "eu"})
    env = Equipped(Bindings(), BACKUP=settings)
    for name in ("DB", "BACKUP", "NEW"):
        with pytest.raises(AttributeError):
            setattr(env, name, "another")
    for shared in (env.BACKUP.sources, env.BACKUP.store_options):
        with pytest.raises(TypeError, match="read-only"):
            shared["DB"] = "another"


async def test_a_server_without_the_equipment_says_so():
    """A handler that is called where nobody configured it fails with its name."""
    with pytest.raises(AttributeError, match="BACKUP"):
        await backup_database(context("backup-database", {}))
