// onnxruntime-web: beside the page, in the kit's node_modules, or the pinned copy on a CDN. Wherever a file comes from,
// the browser compares it with its hash in runtime.json before any of it runs.

/** The runtime's module, and the place it was found in. */
export async function openRuntime() {
  const pinned = await (await fetch("runtime.json")).json();
  const reasons = [];
  for (const place of [...pinned.places, pinned.cdn]) {
    const base = new URL(place, document.baseURI);
    try {
      const script = await fetched(new URL(pinned.script, base), pinned.integrity[pinned.script]);
      const wasm = await fetched(new URL(pinned.wasm, base), pinned.integrity[pinned.wasm]);
      return { ort: await started(script, wasm, base), from: place, version: pinned.version };
    } catch (error) {
      reasons.push(`${place}: ${error.message}`);
    }
  }
  throw new Error(
    `The page needs ${pinned.package} ${pinned.version}, which is in none of its places (${reasons.join("; ")}). ` +
      "Run npm install in the kit, or connect to the network.",
  );
}

async function fetched(url, integrity) {
  let response;
  try {
    response = await fetch(url, { integrity });
  } catch {
    throw new Error("not reachable, or not the file that its hash says");
  }
  if (!response.ok) throw new Error("not there");
  return response.arrayBuffer();
}

async function started(script, wasm, base) {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    const ort = await import(url);
    ort.env.wasm.numThreads = 1; // more would need headers that make the page cross-origin isolated
    ort.env.wasm.wasmBinary = wasm;
    ort.env.wasm.wasmPaths = { wasm: base.href }; // not read, having the binary; unset, it would be sought beside a blob
    return ort;
  } finally {
    URL.revokeObjectURL(url);
  }
}
