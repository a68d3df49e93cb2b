// node wasi.mjs PROGRAM: run it, with this folder as its working directory.
import { readFile } from 'fs/promises';
import { WASI } from 'wasi';

const wasi = new WASI({ version: 'preview1', args: [process.argv[2]],
                        preopens: { '.': '.' }, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(process.argv[2]));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exit(wasi.start(instance));
