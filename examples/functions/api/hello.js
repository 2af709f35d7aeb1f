// The smallest function: what a cold start costs.
export default (req, res) => res.end("hello\n");
