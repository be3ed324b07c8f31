//! What can be done to every server.

/// Gives a type with a field `server` the methods that all servers have.
macro_rules! controls {
    ($service:ty) => {
        impl $service {
            /// Kills all its processes (`SIGKILL`). Its port then refuses connections.
            ///
            /// # Errors
            /// Where the supervisor is gone.
            pub fn kill(&self) -> Result<(), $crate::ServiceError> {
                self.server.tell($crate::supervisor::Order::Kill).map(drop)
            }

            /// Stops it in good order.
            ///
            /// # Errors
            /// Where the supervisor is gone.
            pub fn stop(&self) -> Result<(), $crate::ServiceError> {
                self.server.tell($crate::supervisor::Order::Stop).map(drop)
            }

            /// Starts it again on the same port and with the same folder, and waits until it is ready. Where
            /// it runs it is stopped first, in good order.
            ///
            /// # Errors
            /// Where it does not become ready.
            pub fn restart(&self) -> Result<(), $crate::ServiceError> {
                self.server.restart()
            }

            /// Stops all its processes where they are (`SIGSTOP`): connections stay open, and are still
            /// accepted by the system, but nothing answers.
            ///
            /// # Errors
            /// Where the supervisor is gone.
            pub fn pause(&self) -> Result<(), $crate::ServiceError> {
                self.server.tell($crate::supervisor::Order::Pause).map(drop)
            }

            /// Lets a paused server go on.
            ///
            /// # Errors
            /// Where the supervisor is gone.
            pub fn resume(&self) -> Result<(), $crate::ServiceError> {
                self.server.tell($crate::supervisor::Order::Resume).map(drop)
            }

            /// Its first process, where it runs.
            ///
            /// # Errors
            /// Where the supervisor is gone.
            pub fn pid(&self) -> Result<Option<u32>, $crate::ServiceError> {
                self.server.tell($crate::supervisor::Order::Look)
            }

            /// The port of 127.0.0.1 that it listens on.
            pub fn port(&self) -> u16 {
                self.port
            }

            /// The folder of its files; gone when it is dropped. Its output is in `server.log`.
            pub fn folder(&self) -> &std::path::Path {
                self.server.folder()
            }
        }
    };
}

pub(crate) use controls;
