import { Suspense } from 'react'
import { connection } from 'next/server'
async function S() { await connection(); await new Promise(r => setTimeout(r, 1500)); return <p id="slow-done">slow done {new Date().toISOString()}</p> }
export default function P() { return <main><h1 id="slow-shell">slow shell</h1><Suspense fallback={<p id="slow-fallback">slow fallback</p>}><S /></Suspense></main> }
