import type { Metadata } from "next";
import Link from "next/link";
import type { ReactNode } from "react";
import "./style.css";

export const metadata: Metadata = { title: "Next.js on Lateen" };

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <header>
          <Link className="brand" href="/">Next.js on Lateen</Link>
          <Link href="/isr">ISR</Link>
          <Link href="/posts/hoist">Posts</Link>
          <Link href="/dynamic">Dynamic</Link>
          <Link href="/form">Form</Link>
        </header>
        <main>{children}</main>
        <footer>Next.js 16, App Router. Built by its own tools, served by Lateen.</footer>
      </body>
    </html>
  );
}
