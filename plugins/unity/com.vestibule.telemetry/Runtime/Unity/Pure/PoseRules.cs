namespace Vestibule.Unity
{
    /// <summary>
    /// What may be claimed of a pose that an engine told: bits of validity, and whether it repeats. One object for each
    /// tracker.
    /// </summary>
    public sealed class PoseRules
    {
        /// <summary>Bits of Unity's InputTrackingState.</summary>
        public const uint HasPosition = 1, HasRotation = 2, HasVelocity = 4, HasAngularVelocity = 8;

        private bool _known;
        private float _px, _py, _pz, _qx, _qy, _qz, _qw;

        /// <summary>Flags of a pose record.</summary>
        /// <param name="given">Which of the four values the device gave at all (bits as above).</param>
        /// <param name="state">What the device says is tracked (the same bits).</param>
        /// <param name="tracked">Whether the device says that it is tracked: measured, not inferred.</param>
        /// <param name="predicted">Whether the runtime gives poses for the moment of display.</param>
        public static ushort Flags(uint given, uint state, bool tracked, bool predicted)
        {
            uint valid = given & state;
            int flags = 0;
            if ((valid & HasPosition) != 0)
            {
                flags |= PoseFlags.PositionValid | (tracked ? PoseFlags.PositionTracked : 0);
            }
            if ((valid & HasRotation) != 0)
            {
                flags |= PoseFlags.OrientationValid | (tracked ? PoseFlags.OrientationTracked : 0);
            }
            if ((valid & HasVelocity) != 0)
            {
                flags |= PoseFlags.LinearVelocityValid;
            }
            if ((valid & HasAngularVelocity) != 0)
            {
                flags |= PoseFlags.AngularVelocityValid;
            }
            if (flags != 0 && predicted)
            {
                flags |= PoseFlags.Predicted;
            }
            return (ushort)flags;
        }

        /// <summary>Whether a quaternion is one: runtimes give all zeros, or a few, before tracking begins.</summary>
        public static bool IsTurn(in Quat q)
        {
            float square = (q.X * q.X) + (q.Y * q.Y) + (q.Z * q.Z) + (q.W * q.W);
            return square > 0.98f && square < 1.02f;
        }

        /// <summary>
        /// Whether this pose repeats the one before to the last bit, which a measured one never does: then the source
        /// gave nothing new, and the record says <c>held</c>.
        /// </summary>
        public bool Repeats(in Vec3 p, in Quat q)
        {
            bool same = _known && p.X == _px && p.Y == _py && p.Z == _pz
                && q.X == _qx && q.Y == _qy && q.Z == _qz && q.W == _qw;
            _known = true;
            _px = p.X;
            _py = p.Y;
            _pz = p.Z;
            _qx = q.X;
            _qy = q.Y;
            _qz = q.Z;
            _qw = q.W;
            return same;
        }

        /// <summary>A vector of the room in the axes of a head with this turn; both of OpenXR.</summary>
        public static Vec3 InHead(in Quat head, in Vec3 v)
        {
            // v' = q* v q, in double and rounded once.
            double x = -head.X, y = -head.Y, z = -head.Z, w = head.W;
            double tx = 2 * ((y * v.Z) - (z * v.Y));
            double ty = 2 * ((z * v.X) - (x * v.Z));
            double tz = 2 * ((x * v.Y) - (y * v.X));
            return new Vec3(
                (float)(v.X + (w * tx) + (y * tz) - (z * ty)),
                (float)(v.Y + (w * ty) + (z * tx) - (x * tz)),
                (float)(v.Z + (w * tz) + (x * ty) - (y * tx)));
        }

        /// <summary>Where a turn points: OpenXR's forward, (0, 0, -1), turned by it.</summary>
        public static Vec3 Forward(in Quat q)
        {
            double x = q.X, y = q.Y, z = q.Z, w = q.W;
            return new Vec3(
                (float)(-2 * ((x * z) + (w * y))),
                (float)(-2 * ((y * z) - (w * x))),
                (float)(-(1 - (2 * ((x * x) + (y * y))))));
        }
    }
}
