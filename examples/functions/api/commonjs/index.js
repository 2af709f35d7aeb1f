// CommonJS: require and module.exports.
const { hostname } = require("node:os");

module.exports = (req, res) => res.json({ module: "commonjs", hostname: hostname(), name: req.query.name ?? null });
