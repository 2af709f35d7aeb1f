import { Links, Meta, Outlet, Scripts, isRouteErrorResponse, useRouteError } from "react-router";

export function Layout({ children }: { children: React.ReactNode }) {
  return (
    <html lang="en">
      <head>
        <meta charSet="utf-8" />
        <Meta />
        <Links />
      </head>
      <body>
        {children}
        <Scripts />
      </body>
    </html>
  );
}

export function ErrorBoundary() {
  const error = useRouteError();
  return <p data-testid="error">{isRouteErrorResponse(error) ? error.status : 500}</p>;
}

export default Outlet;
