"""The call that lists the audit log."""

from dataclasses import replace

from schedule_grpc.domain.access.audit import AuditFilter, AuditPage
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.paging import AuditCursor, Page
from schedule_grpc.errors import PermissionDenied
from schedule_grpc.store import Store


class AuditService:
    """The part of the Service that concerns the audit log."""

    _store: Store
    _permit: Permit
    _namespace: str

    async def audit_events(self, chosen: AuditFilter, page: Page) -> AuditPage:
        """Return a page of the audit log, newest first.

        Without a namespace a caller with ``admin@*`` sees all rows, another one those of this service's namespace.

        Raises:
            PermissionDenied: if the caller does not administer the namespace.
            InvalidArgument: if the page's size or token is invalid.
        """
        caller = self._permit.caller
        if not chosen.namespace and not caller.may(Scope.ADMIN):
            chosen = replace(chosen, namespace=self._namespace)
        if chosen.namespace and not caller.may(Scope.ADMIN, chosen.namespace):
            raise PermissionDenied(Scope.ADMIN, chosen.namespace)
        cursor = AuditCursor.read(page, chosen)
        found = await self._store.list_audit(chosen, after=cursor.place, limit=page.limit + 1)
        shown = found[: page.limit]
        token = AuditCursor(place=shown[-1].place).write(chosen) if len(found) > len(shown) else ""
        return AuditPage(events=shown, next_page_token=token)
