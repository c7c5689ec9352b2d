/**
 * Size classes: how long a piece of data is made before it is sealed, so that its length on the disk does not tell which command,
 * trace or operator it is about. Guarantees that a class depends on the length only and is never smaller than it.
 */

/** One event with its batch around it takes 400 to 900 bytes: all of them, and every command's answer, look alike. */
const CLASS_BYTES_MIN = 1024;
/** Up to here classes double: a prompt batch of trace or alert events is this small, and its length says most. */
const DOUBLING_BYTES_MAX = 16 * 1024;
/** Above, 32 classes an octave: a batch of hundreds of events may cost 3.2 % at most, 1.1 % in the mean. */
const STEPS_PER_OCTAVE_LOG2 = 5;

/** The class of a length, in bytes. */
export function paddedLength(bytes: number): number {
	if (bytes <= CLASS_BYTES_MIN) return CLASS_BYTES_MIN;
	const octave = 31 - Math.clz32(bytes);
	if (bytes <= DOUBLING_BYTES_MAX) return bytes === 2 ** octave ? bytes : 2 ** (octave + 1);
	const step = 2 ** (octave - STEPS_PER_OCTAVE_LOG2);
	return Math.ceil(bytes / step) * step;
}
