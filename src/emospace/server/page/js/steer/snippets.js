// The request as code: what the page sends, to be pasted elsewhere.

const PLACE = () => new URL("v1", document.baseURI).href.replace(/[?#].*$/, "");

// JSON strings and numbers are Python literals too.
const python = (value) => JSON.stringify(value, null, 1).replace(/\n\s*/g, " ").replace(/([{[]) | ([}\]])/g, "$1$2");

/** Write a request as a call of the official `openai` package. */
export const asPython = ({ model, messages, emotion, dose, scope, ...sampling }) => {
  const extra = Object.fromEntries(Object.entries({ emotion, dose, scope }).filter(([, value]) => value !== undefined && value !== null));
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(PLACE())}, api_key="none")`,
    "answer = client.chat.completions.create(",
    `    model=${JSON.stringify(model)},`,
    `    messages=${python(messages)},`,
    ...Object.entries(sampling).map(([name, value]) => `    ${name}=${python(value)},`),
    ...(Object.keys(extra).length ? [`    extra_body=${python(extra)},`] : []),
    ")",
    "print(answer.choices[0].message.content)",
  ].join("\n");
};

/** Write a request as a curl command. */
export const asCurl = (request) => {
  const body = JSON.stringify(request, null, 2).replaceAll("'", "'\\''");
  return `curl ${PLACE()}/chat/completions \\\n  -H 'Content-Type: application/json' \\\n  -d '${body}'`;
};

/** Put text on the clipboard; returns whether that was allowed. */
export const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
};
