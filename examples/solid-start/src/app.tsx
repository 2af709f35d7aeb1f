import { Router } from "@solidjs/router";
import { FileRoutes } from "@solidjs/start/router";
import { ErrorBoundary, Suspense } from "solid-js";
import { Broken } from "./broken";

export default function App() {
  return (
    <Router root={(props) => (
      <ErrorBoundary fallback={<Broken />}>
        <Suspense>{props.children}</Suspense>
      </ErrorBoundary>
    )}>
      <FileRoutes />
    </Router>
  );
}
