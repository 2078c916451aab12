// What goes wrong while the page asks: one line for each thing that is asked for, until it goes well.

const told = new Map();
let listener = () => {};

/** Say who is told: `listener` gets the open problems, [{message, sinceMs}], the oldest first. */
export function onProblems(wanted) {
  listener = wanted;
}

/**
 * What `who` asked for was refused, or nobody answered. `sinceMs` is when it last went well by
 * this browser's clock, null for never: what is shown is that old.
 */
export function problem(who, message, sinceMs = null) {
  told.set(who, { message, sinceMs });
  listener([...told.values()]);
}

/** It went well, or nobody asks for it any more. */
export function noProblem(who) {
  if (told.delete(who)) listener([...told.values()]);
}
