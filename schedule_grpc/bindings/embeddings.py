"""An AI service that speaks the OpenAI API: embeddings."""

import json
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from schedule_grpc.bindings.secret_source import SecretSource
from schedule_grpc.bindings.setting import Setting
from schedule_grpc.errors import BindingError
from schedule_grpc.tracing import TRACEPARENT, present_span

LONGEST_REASON = 300
MOST_BYTES = 1 << 20
"""Of an answer. Lists of models have some hundred kilobytes."""
MOST_BYTES_A_TEXT = 256 << 10
"""More of an answer for each text: room for a vector of ten thousand numbers."""
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Embeddings:
    """Turns texts into vectors, at an address such as ``https://api.openai.com/v1``."""

    def __init__(self, setting: Setting) -> None:
        """Take an address; nothing is connected before it is used.

        Raises:
            ConfigurationError: for options that cannot be used.
        """
        import httpx2  # noqa: PLC0415 (50 ms to import)

        self._name = setting.name
        self._secrets = setting.secrets
        self._key = SecretSource(setting, "key")
        self._model = setting.text("model")
        self._errors = (httpx2.HTTPError, httpx2.InvalidURL, RuntimeError)  # RuntimeError: it was closed
        self._client = httpx2.AsyncClient(
            base_url=setting.url,
            timeout=setting.timeout.total_seconds(),
            follow_redirects=False,  # the key is for this address only
        )

    async def embed(self, texts: Sequence[str], *, model: str | None = None) -> list[list[float]]:
        """Return a vector for each text, in their order.

        Args:
            texts: As many as the service takes at once (OpenAI: 2,048).
            model: Which model; None takes the configured one.

        Raises:
            BindingError: if the service does not answer with one vector, of one length, for each of them.
        """
        if isinstance(texts, str):
            raise BindingError(self._name, "embed() takes a list of texts, not one text")
        if not texts:
            return []
        chosen = model or self._model
        if chosen is None:
            raise BindingError(self._name, "no model is named: set the option model, or say which")
        most = MOST_BYTES + MOST_BYTES_A_TEXT * len(texts)
        answer = await self._ask("POST", "embeddings", most=most, json={"model": chosen, "input": list(texts)})
        vectors = _vectors(answer, len(texts))
        if vectors is None:
            raise BindingError(self._name, f"answered something else than {len(texts)} vectors of one length")
        return vectors

    async def ping(self) -> None:
        """Return if the service lists its models.

        Raises:
            BindingError: if not.
        """
        answer = await self._ask("GET", "models")
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
            raise BindingError(self._name, "answered something else than a list of models")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, *, most: int = MOST_BYTES, **content: Any) -> Any:
        key = self._key.read()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if (span := present_span()) is not None:
            headers[TRACEPARENT] = span.traceparent
        try:
            async with self._client.stream(method, path, headers=headers, **content) as response:
                body = await self._beginning(response, most)
        except self._errors as error:
            reason = self._secrets.hide(str(error))
            raise BindingError(self._name, f"{type(error).__name__}{f': {reason}' if reason else ''}") from None
        if response.status_code != HTTPStatus.OK:
            raise BindingError(self._name, self._secrets.hide(_refusal(response, body)))
        if len(body) > most:
            raise BindingError(self._name, f"answered more than {most} bytes")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise BindingError(self._name, "answered something else than JSON") from None

    @staticmethod
    async def _beginning(response: Any, most: int) -> bytes:
        """Read an answer; a longer one than ``most`` bytes to a little beyond that."""
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > most:
                break
        return bytes(body)


def _refusal(response: Any, body: bytes) -> str:
    reason = f"answered {response.status_code} {response.reason_phrase}".strip()
    if response.status_code in _REFUSED:
        return f"{reason}: its key is refused, or none is set (key_env, key_file)"  # its own words may quote the key
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return reason
    return f"{reason}: {str(message)[:LONGEST_REASON]}"


def _vectors(answer: Any, count: int) -> list[list[float]] | None:
    """Return the vectors of an answer in the order of the texts; None if it is another answer than that."""
    try:
        found = {item["index"]: [float(number) for number in item["embedding"]] for item in answer["data"]}
        vectors = [found[index] for index in range(count)]
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    lengths = {len(vector) for vector in vectors}
    whole = len(answer["data"]) == count and len(lengths) == 1 and 0 not in lengths
    return vectors if whole and all(math.isfinite(number) for vector in vectors for number in vector) else None
