// node wasi.mjs PROGRAM: run it, with this folder as its working directory.
import { readFile } from 'fs/promises';
import { WASI } from 'wasi';

const wasi = new WASI({ version: 'preview1', args: [process.argv[2]],
                        preopens: { '.': '.' }, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(process.argv[2]));
/* getImportObject() says this too, but not in Debian's Node.js 18. */
const imports = { wasi_snapshot_preview1: wasi.wasiImport };
const instance = await WebAssembly.instantiate(module, imports);
process.exit(wasi.start(instance));
