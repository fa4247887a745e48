namespace Vestibule.Unity
{
    /// <summary>Something that gives samples once a frame. What it throws is caught by <see cref="Capture"/>.</summary>
    internal abstract class CaptureSource
    {
        protected CaptureSource(string name, byte kind)
        {
            Guard = new SourceGuard(name);
            Kind = kind;
        }

        /// <summary>How often it failed, and whether it is asked.</summary>
        public SourceGuard Guard { get; }

        /// <summary>Its kind; a source whose kind is not permitted is not asked at all.</summary>
        protected byte Kind { get; }

        /// <summary>Captures this frame, if anything may be captured; never throws.</summary>
        /// <param name="outlet">Where samples go.</param>
        /// <param name="devices">The devices, refreshed.</param>
        /// <param name="nowNs">Device time, one for all samples of the frame.</param>
        /// <returns>What to tell; null for nothing.</returns>
        public string Capture(Outlet outlet, Devices devices, long nowNs)
        {
            if (!Guard.On || !outlet.Takes(Kind))
            {
                return null;
            }
            try
            {
                string words = Read(outlet, devices, nowNs);
                Guard.Succeeded();
                return words;
            }
            catch (System.Exception error)
            {
                return Guard.Failed(error);
            }
        }

        /// <summary>Reads the sensor and hands over what it says.</summary>
        /// <returns>What to tell; null for nothing.</returns>
        protected abstract string Read(Outlet outlet, Devices devices, long nowNs);
    }
}
