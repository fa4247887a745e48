using System.Diagnostics;

namespace Vestibule
{
    /// <summary>The device's clock: never adjusted, one for all streams.</summary>
    public static class MonotonicClock
    {
        private const long Second = 1_000_000_000;

        /// <summary>Nanoseconds of <see cref="Stopwatch"/>; whole seconds and the rest apart, so that 64 bits suffice.</summary>
        public static long NowNs() => Of(Stopwatch.GetTimestamp(), Stopwatch.Frequency);

        internal static long Of(long ticks, long frequency) =>
            (ticks / frequency * Second) + (ticks % frequency * Second / frequency);
    }
}
