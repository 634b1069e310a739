// One answer as it comes: its text, what it is, and how it reads and flows, judged while it grows.

import { chat, judge, read } from "../api.js";
import { framed, h } from "../dom.js";
import { showTrouble } from "../trouble.js";
import { onLanguage, t } from "../words.js";
import { makeGauges } from "./gauges.js";
import { makeLegend, shadedNodes, wordsOf } from "./shade.js";

const LEAST = 20;
const SENTENCES = new Intl.Segmenter(undefined, { granularity: "sentence" });
const HAN = /\p{Script=Han}/gu;

/** Return the language a text is judged in: Chinese where a third of it is Han characters. */
const languageOf = (text) => ((text.match(HAN)?.length ?? 0) * 3 > text.length ? "zh" : "en");

/** Return a text without the sentence that may still grow. */
const finished = (text) => {
  const last = [...SENTENCES.segment(text)].at(-1);
  return text.slice(0, last?.index ?? 0).trimEnd();
};

/** Make a column named by a key of words. Returns `{node, run(request, about, signal), say(key), judgement(), compareWith(judgement)}`. */
export const makeColumn = (key, judged = () => {}) => {
  const about = h("p", { class: "eyebrow" });
  const text = h("p", { class: "answer", "aria-busy": "false" });
  const status = h("p", { class: "note", role: "status" });
  const trouble = h("div", { role: "alert" });
  const gauges = makeGauges();
  const legend = makeLegend();
  const node = h("article", { class: `card column ${key.replace(".", "-")}` }, h("h2", { t: key }), about, text, legend.node, trouble, gauges.node, status);
  let said = ["steer.waiting", {}];
  const off = new Set();
  let round = 0;
  let pieces = [];
  // Words are shaded where the server says how much of the tone each piece carries.
  const shade = framed(() => {
    if (!pieces.some(({ shift }) => shift)) return;
    const words = wordsOf(pieces);
    text.replaceChildren(...shadedNodes(words));
    legend.show(words);
  });
  const show = () => (status.textContent = said[0] ? t(...said) : "");
  const say = (what, given = {}) => {
    said = [what, given];
    show();
  };
  onLanguage(() => {
    show();
    shade();
  });
  show();

  // What a server does not offer is asked for once; what comes for an answer that another has replaced is let go.
  const ask = async (name, asking) => {
    if (off.has(name)) return;
    const mine = round;
    try {
      const given = await asking();
      if (mine !== round) return;
      gauges.set({ [name]: given });
      if (name === "judgement") judged();
    } catch (error) {
      if (["absent", "wrong", "reading_off"].includes(error.kind)) off.add(name);
    }
  };
  const judgeText = (whole, messages, signal) => ask("judgement", () => judge(whole, messages, languageOf(whole), signal));

  // One judgement at a time, of the sentences that are whole; what ends meanwhile is judged with the next.
  const makeFollower = (messages, signal) => {
    let busy = null;
    let seen = 0;
    return {
      look: () => {
        const whole = finished(text.textContent);
        if (busy || whole.length < LEAST || whole.length === seen) return;
        seen = whole.length;
        busy = judgeText(whole, messages, signal).finally(() => (busy = null));
      },
      last: () => busy,
    };
  };

  const answer = async (request, mine, signal, look) => {
    const began = performance.now();
    try {
      const end = await chat(request, {
        signal,
        onText: (piece, shift) => {
          if (mine !== round) return;
          if (!pieces.length) say("steer.writing");
          const shown = text.textContent ? piece : piece.trimStart();
          pieces.push({ text: shown, shift: shift ?? 0 });
          text.append(shown);
          if (shift) shade();
          look();
        },
      });
      gauges.set({ steering: end.steering });
      const tokens = end.usage?.completion_tokens ?? pieces.length;
      say(end.finish === "length" ? "steer.cut" : "steer.done", { tokens, seconds: ((performance.now() - began) / 1000).toFixed(1) });
    } catch (error) {
      if (mine !== round) return;
      if (error.name === "AbortError") say("steer.stopped", { tokens: pieces.length });
      else {
        say("");
        showTrouble(trouble, error);
      }
    }
  };

  const conclude = async (request, mine) => {
    if (!text.textContent.trim() || mine !== round) return;
    await judgeText(text.textContent, request.messages);
    if (mine === round) await ask("reading", () => read(text.textContent, 0));
  };

  // It ends with the answer; the last judgement comes by itself.
  const run = async (request, what, signal) => {
    const mine = (round += 1);
    text.textContent = "";
    pieces = [];
    legend.show([]);
    trouble.replaceChildren();
    about.textContent = what;
    gauges.clear();
    text.setAttribute("aria-busy", "true");
    node.classList.add("busy");
    say("steer.thinking");
    const follower = makeFollower(request.messages, signal);
    await answer(request, mine, signal, follower.look);
    if (mine !== round) return;
    text.setAttribute("aria-busy", "false");
    node.classList.remove("busy");
    Promise.resolve(follower.last()).then(() => conclude(request, mine));
  };
  return { node, run, say, judgement: () => gauges.judgement(), compareWith: (other) => gauges.compareWith(other) };
};
