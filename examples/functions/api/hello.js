// The smallest function, to measure a cold start.
export default (req, res) => res.end("hello\n");
