namespace Vestibule.Unity
{
    /// <summary>
    /// How often a record without anything valid in it is worth sending: when tracking is lost, then once a second.
    /// A hand is 952 bytes; one that is out of sight for a minute would otherwise cost 5 MB of nothing.
    /// </summary>
    public sealed class Lapse
    {
        /// <summary>Time between two records of nothing.</summary>
        public const long EveryNs = 1_000_000_000;

        private bool _seen;
        private bool _tracked;
        private long _lastNs;

        /// <summary>Whether this frame's record is to be sent; never before the first that was tracked.</summary>
        public bool Wants(bool tracked, long nowNs)
        {
            if (tracked)
            {
                _seen = _tracked = true;
                return true;
            }
            if (!_seen || (!_tracked && nowNs - _lastNs < EveryNs))
            {
                return false;
            }
            _tracked = false;
            _lastNs = nowNs;
            return true;
        }
    }
}
