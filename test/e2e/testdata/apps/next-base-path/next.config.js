module.exports = {
  basePath: '/docs',
  assetPrefix: '/cdn',
  trailingSlash: true,
  deploymentId: 'dep-123',
  redirects: async () => [
    { source: '/r1', destination: '/dyn/r1', permanent: false },
    { source: '/outside', basePath: false, destination: '/docs/dyn/outside', permanent: false },
  ],
  rewrites: async () => [{ source: '/w1', destination: '/dyn/w1' }],
  headers: async () => [{ source: '/dyn/:x', headers: [{ key: 'x-cfg', value: '1' }] }],
}
