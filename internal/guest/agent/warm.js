'use strict';
// The function that the warm-up loads.

module.exports = (req, res) => res.status(200).json([req.query, req.cookies, req.body]);
