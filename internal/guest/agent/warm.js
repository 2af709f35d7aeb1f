'use strict';
// What the warm-up loads, as if it were a function's file.

module.exports = (req, res) => res.status(200).json([req.query, req.cookies, req.body]);
