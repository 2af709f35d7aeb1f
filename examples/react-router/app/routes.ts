import { type RouteConfig, index, route } from "@react-router/dev/routes";

export default [
  index("routes/home.tsx"),
  route("posts/:slug", "routes/post.tsx"),
  route("form", "routes/form.tsx"),
  route("api/hello", "routes/hello.ts"),
  route("boom", "routes/boom.tsx"),
] satisfies RouteConfig;
