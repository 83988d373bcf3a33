"""The bindings of handlers as the settings name them, in a server and in a worker alike."""

from schedule_grpc import builtin
from schedule_grpc.backup import SERVICE, BackupSettings
from schedule_grpc.bindings import Environment
from schedule_grpc.engine import Bindings
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.paths import POSTGRESQL, SQLITE
from schedule_grpc.settings.config import Settings

DATABASES = (SQLITE, *POSTGRESQL)


def handler_bindings(settings: Settings, clock: Clock) -> Bindings:
    """Return the bindings, with the settings of the built-in tasks beside them.

    Raises:
        ConfigurationError: if a binding cannot be made.
    """
    bindings = Environment(settings.bindings, clock=clock)
    urls = {name: each if isinstance(each, str) else str(each.get("url")) for name, each in settings.bindings.items()}
    databases = {name: url for name, url in urls.items() if url.startswith(DATABASES)}
    backup = BackupSettings(sources=databases | {SERVICE: settings.database}, **settings.backup.model_dump())
    http = builtin.HttpSettings(**settings.http_request.model_dump())
    return Bindings(env=builtin.Equipped(bindings, BACKUP=backup, HTTP=http), aclose=bindings.aclose)
