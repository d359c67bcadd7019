"use strict";
// The script's side of a walk, as steps.py is for Python: says what it is about to do, waits,
// does it, says what came of it.

const fs = require("fs");

const say = (said) => fs.writeSync(1, JSON.stringify(said) + "\n");

/** Wait until the other side has taken note of all that came before. */
function listen() {
  const byte = Buffer.alloc(1);
  while (fs.readSync(0, byte, 0, 1, null) === 1 && byte[0] !== 10);
}

/** Say it, and wait until it was heard: what is asked next is not of this step. */
function told(said) {
  say(said);
  listen();
}

/** Do one step and give its answer, or null where it failed. */
async function step(name, call) {
  told({ begin: name });
  try {
    const answer = await call();
    told({ end: name });
    return answer;
  } catch (error) {
    const code = codeOf(error);
    told({ end: name, failure: code || described(error), code });
    return null;
  }
}

/** The service's code, where the error is one of the service. */
function codeOf(error) {
  if (error.statusCode === undefined) return "";
  return (error.body && error.body.code) || `status ${error.statusCode}`;
}

function described(error) {
  return `${error.name}: ${String(error.message).split("\n")[0].slice(0, 200)}`;
}

/** Complain where something is not as it has to be; the walk goes on. */
function check(what, good, seen) {
  if (!good) say({ check: what, seen: String(JSON.stringify(seen)).slice(0, 1500) });
}

/** Walk a part of the way; where it leads nowhere, complain and leave the rest of it out. */
async function go(part, ...words) {
  try {
    await part(...words);
  } catch (error) {
    check(`all of ${part.name}`, false, String(error.stack).slice(0, 1500));
  }
}

/** Ask until the answer is true; complain when it never is. Not a step of its own. */
async function until(what, ask, withinS = 30) {
  const end = Date.now() + withinS * 1000;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) {
      check(`within ${withinS} s: ${what}`, false, answer);
      return answer;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

module.exports = { step, check, go, until };
