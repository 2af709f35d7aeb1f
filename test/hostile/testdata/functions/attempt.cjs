'use strict';
// The outcomes of attempts: "done", or the name of the error.

/** Calls each of the functions, by name, and answers with the outcomes. */
exports.answer = async function answer(res, attempts) {
  const outcomes = {};
  for (const [name, attempt] of Object.entries(attempts)) outcomes[name] = await outcome(attempt);
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(outcomes));
};

async function outcome(attempt) {
  try {
    const value = await attempt();
    return typeof value === 'string' ? value : 'done';
  } catch (error) {
    return error.code ?? String(error);
  }
}

/** The arguments in the query of a request. */
exports.args = (req) => new URL(req.url, 'http://function').searchParams.getAll('arg');
