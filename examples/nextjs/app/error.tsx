"use client";

export default function ErrorPage({ error, reset }: { error: Error & { digest?: string }; reset: () => void }) {
  return (
    <>
      <h1 data-testid="error">Something broke</h1>
      <p className="lede">The page threw; error.tsx caught it. Digest: <code>{error.digest}</code></p>
      <button onClick={reset}>Try again</button>
    </>
  );
}
