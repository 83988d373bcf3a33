// @ts-check
// JSON as people write it: where it is wrong, and what its members are, as they stand in the text.
//
// JSON.parse does neither alike everywhere: each browser words its errors differently, and some name no place; and it
// rounds numbers, so a payload that was parsed is not the one that was written. Asking the server would cost a call at
// each pause in typing, and it counts in a body that the page has put together around the text. Reading it here is short.

const SPACE = /[ \t\n\r]*/y;
const TOKEN = /[[\]{}:,]|"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Read the text of a JSON object; an empty one stands for no members.
 * @param {string} text @returns {{members: Map<string, string>, wrong: string}} each member's value as it is written;
 *   and why it is no JSON object, with the place, or nothing */
export function read(text) {
  /** @type {Map<string, string>} */
  const members = new Map();
  let at = 0;
  /** Go to the next token, and return it; nothing if there is none. */
  const next = () => {
    SPACE.lastIndex = at;
    at += SPACE.exec(text)?.[0].length ?? 0;
    TOKEN.lastIndex = at;
    return TOKEN.exec(text)?.[0] ?? "";
  };
  /** @param {string} expected @returns {never} */
  const fail = (expected) => {
    if (at >= text.length) throw new SyntaxError(`the text ends, but ${expected} is missing`);
    throw new SyntaxError(text[at] === '"' && !next() ? "these quotes do not end in this line, or a backslash in them is wrong" : `here should be ${expected}`);
  };
  const value = (depth = 0) => {
    const first = next();
    if (!first || "]}:,".includes(first)) fail("a value");
    at += first.length;
    if (first !== "{" && first !== "[") return;
    const end = first === "{" ? "}" : "]";
    const keys = new Set();
    let mark = next() === end ? end : ",";
    if (mark === end) at += 1;
    while (mark !== end) {
      let key = "";
      if (end === "}") {
        const written = next();
        if (written[0] !== '"') fail("a key in double quotes");
        key = JSON.parse(written);
        if (keys.has(key)) throw new SyntaxError(`the key ${written.slice(0, 60)} is there twice`);
        keys.add(key);
        at += written.length;
        if (next() !== ":") fail("a colon");
        at += 1;
      }
      next();
      const start = at;
      value(depth + 1);
      if (!depth) members.set(key, text.slice(start, at));
      mark = next();
      if (mark !== "," && mark !== end) fail(`a comma or ${end}`);
      at += 1;
    }
  };
  try {
    const first = next();
    if (at === text.length) return { members, wrong: "" };
    if (first !== "{") fail("a { : it must be a JSON object");
    value();
    next();
    if (at < text.length) throw new SyntaxError("the text goes on after its end");
    return { members, wrong: "" };
  } catch (error) {
    if (error instanceof RangeError) return { members, wrong: "is too large, or nested too deep" };
    const lines = text.slice(0, at).split("\n");
    return { members, wrong: `line ${lines.length}, column ${[...(lines.at(-1) ?? "")].length + 1}: ${/** @type {Error} */ (error).message}` };
  }
}

/** The text of an object with these members; those without a value are left out. @param {Map<string, string>} members */
export function written(members) {
  const lines = [...members].filter(([, value]) => value).map(([key, value]) => `  ${JSON.stringify(key)}: ${value}`);
  return lines.length ? `{\n${lines.join(",\n")}\n}` : "{}";
}
