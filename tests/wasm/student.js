// node student.js MODULE PICTURE: the module's picture, by its fast kernels
// and by the plain loops, is the file's within a level.
const fs = require('fs');
const [path, file] = process.argv.slice(2);
const { exports: student } = new WebAssembly.Instance(
    new WebAssembly.Module(fs.readFileSync(path)));
const want = fs.readFileSync(file);

function fail(sentence) {
    console.log(sentence);
    process.exit(1);
}

for (const reference of [0, 1]) {
    const status = student.translate(reference);
    if (status !== 0) fail(`translate(${reference}) ended with ${status}`);
    const got = new Uint8Array(student.memory.buffer, student.picture(),
                               student.picture_bytes());
    if (got.length !== want.length) fail('the pictures differ in size');
    let most = 0, low = 255, high = 0;
    for (let i = 0; i < got.length; i++) {
        most = Math.max(most, Math.abs(got[i] - want[i]));
        low = Math.min(low, got[i]);
        high = Math.max(high, got[i]);
    }
    console.log(`largest difference ${most}, levels ${low} to ${high}`);
    if (most > 1 || high - low < 100) fail('that is another picture');
}
